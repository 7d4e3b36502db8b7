"""The plugins of a process: loaded once, whichever of its roles asks first, and watched by one watchdog.

plugins.enabled ──► load_plugins ──► Caller ◄── the responder: hooks, conditions, actions, tools
                                        ▲ ▲
                    Watchdog ───────────┘ └──── the dispatcher: webhook_payload
"""

from contextlib import ExitStack
from pathlib import Path

from relay.config import Config
from relay.plugin.calling import Caller
from relay.plugin.loading import load_plugins
from relay.plugin.storage import MakeStorage
from relay.plugin.watchdog import Watchdog, can_watch


class RunningPlugins:
    """Open it on the main thread, within the loop; nothing is loaded before somebody asks."""

    def __init__(self, config: Config, storage: MakeStorage) -> None:
        self._config = config.plugins
        self._folder: Path = config.data_dir / "plugins"
        self._storage = storage
        self._caller: Caller | None = None
        self._open = ExitStack()

    def load(self) -> Caller:
        """The same each time. Raises ConfigError."""
        if self._caller is None:
            loaded = load_plugins(self._config)
            watchdog = None
            if loaded.plugins and can_watch():
                watchdog = Watchdog(self._folder, [plugin.name for plugin in loaded.plugins])
                self._open.callback(watchdog.close)
            self._caller = Caller(
                loaded,
                storage=self._storage,
                timeout_seconds=self._config.timeout_seconds,
                watchdog=watchdog,
            )
        return self._caller

    def close(self) -> None:
        self._open.close()
