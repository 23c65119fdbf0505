"""The configuration that holds: the last good one of the collector, without what `agent.toml` forbids."""

import logging
from collections.abc import Callable

from agent.config import AgentConfig, ConfigError, parse_config
from agent.etags import bare_etag
from agent.files import write_atomically
from agent.settings import SettingsError, load_settings
from agent.state import StateFolder, encode
from protocol.wire import PrivacyConfig

logger = logging.getLogger(__name__)


class Configuration:
    """Kept in the state folder for the next start. The sender takes up new ones, the main thread reads them."""

    def __init__(self, folder: StateFolder, on_refused: Callable[[str, str], None]) -> None:
        """`on_refused` is told the ETag and the reason."""
        self.etag = ""
        self.is_refused = False  # the newest that came; `current` is older
        self._folder = folder
        self._on_refused = on_refused
        self._forbidden = load_forbidden(folder)
        self.current = AgentConfig()
        self._load()

    def take(self, etag: str, content: dict[str, object]) -> None:
        """Check it whole, then swap it in. Raises ConfigError, and the one before stays."""
        try:
            config = parse_config(content)
        except ConfigError as error:
            self.is_refused = True
            self._on_refused(etag, str(error))
            raise
        self.is_refused = False
        self.etag, self.current = etag, self._restrict(config)
        logger.info("configuration changed: etag=%s", etag)
        try:
            write_atomically(self._folder.config_path, encode({"etag": etag, "config": content}, indent=None))
        except OSError as error:
            logger.warning("configuration not kept for the next start: reason=%r", str(error))

    def _load(self) -> None:
        found = self._folder.load_optional(self._folder.config_path)
        content, etag = found.get("config"), found.get("etag")
        if not isinstance(content, dict):
            return
        try:
            self.current = self._restrict(parse_config(content))
        except ConfigError:
            return  # written by another version: the collector sends a new one
        self.etag = bare_etag(etag)

    def _restrict(self, config: AgentConfig) -> AgentConfig:
        asked = config.privacy
        return config._replace(
            privacy=PrivacyConfig(
                user_names=asked["user_names"] and "user_names" not in self._forbidden,
                software=asked["software"] and "software" not in self._forbidden,
            )
        )


def load_forbidden(folder: StateFolder) -> frozenset[str]:
    """What must not leave this machine, whatever the collector allows; all of it if the file cannot be read."""
    try:
        return load_settings(folder.path).forbidden()
    except SettingsError:
        return frozenset(PrivacyConfig.__annotations__)


def load_config(folder: StateFolder) -> AgentConfig:
    """What holds, for those that do not run all the time."""
    return Configuration(folder, lambda *_: None).current
