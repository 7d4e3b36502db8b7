"""The plugins that are enabled: imported, their hooks and settings held against what there is."""

from relay.commands.checkup.finding import Finding, ok, wrong
from relay.config import Config
from relay.model.errors import ConfigError
from relay.plugin.loading import load_plugins


def check_plugins(config: Config) -> Finding:
    try:
        loaded = load_plugins(config.plugins)
    except ConfigError as error:
        return wrong("plugins", error.detail, "Mend it, or take the plugin out of plugins.enabled.")
    if not loaded.plugins:
        return ok("plugins", "No plugin is enabled.")
    names = ", ".join(plugin.name for plugin in loaded.plugins)
    return ok("plugins", f"All that are enabled load: {names}.")
