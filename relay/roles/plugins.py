"""The plugins of a process: loaded once, whichever of its roles asks first, and watched by one watchdog.

plugins.enabled ──► load_plugins ──► Caller ◄── the responder: hooks, conditions, actions, tools
                                        ▲ ▲
                    Watchdog ───────────┘ └──── the dispatcher: webhook_payload
"""

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from relay.config import Config
from relay.store.pool import Pool

if TYPE_CHECKING:
    from relay.plugin.calling import Caller


class ProcessPlugins:
    """Made and closed on the main thread, within the loop; nothing is loaded before somebody asks."""

    def __init__(self, config: Config, pool: Pool) -> None:
        self._config = config
        self._pool = pool
        self._caller: Caller | None = None
        self._open = ExitStack()

    def load(self) -> "Caller":
        """The same each time. Raises ConfigError."""
        if self._caller is None:
            self._caller = self._make()
        return self._caller

    def _make(self) -> "Caller":
        # A host or an API calls no plugins, and is 6 MB lighter without what they need.
        from relay.plugin.calling import Caller  # noqa: PLC0415
        from relay.plugin.loading import load_plugins  # noqa: PLC0415
        from relay.plugin.watchdog import Watchdog, can_watch  # noqa: PLC0415
        from relay.store.plugin_values import StoredValues  # noqa: PLC0415

        loaded = load_plugins(self._config.plugins)
        watchdog = None
        if loaded.plugins and can_watch():
            names = [plugin.name for plugin in loaded.plugins]
            watchdog = Watchdog(self._config.data_dir / "plugins", names)
            self._open.callback(watchdog.close)
        return Caller(
            loaded,
            storage=partial(StoredValues, self._pool),
            timeout_seconds=self._config.plugins.timeout_seconds,
            watchdog=watchdog,
        )

    def close(self) -> None:
        self._open.close()
