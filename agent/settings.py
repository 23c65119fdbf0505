"""`agent.toml` in the state folder: what this machine's administrator wants looked at. Read when the agent starts.

Whatever runs a program or reads a named file stands here and never comes from the collector. One section for each
probe that takes settings, named like the probe; unknown sections and keys are refused, since a typo must not blind.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from agent.addresses import NO_PROXY, AddressError, masked, parse_proxy
from protocol.errors import PermanentError
from protocol.wire import PrivacyConfig

FILE_NAME = "agent.toml"
MAX_FILE_BYTES = 256 << 10
MAX_ENTRIES = 100  # of a list, or tables in a section
MAX_TEXT_CHARS = 1000
OWN_SECTIONS = ("probes", "privacy", "uplink", "caps")


class SettingsError(PermanentError):
    """Settings that cannot be used; the message names every place that is wrong."""


class Section:
    """One table of the file. What is wrong is gathered, so that `finish` can tell it all at once."""

    def __init__(self, content: Mapping[str, object], place: str, problems: list[str] | None = None) -> None:
        self._content = content
        self._place = place
        self._problems = [] if problems is None else problems
        self._asked: set[str] = set()
        self._tables: list[Section] = []

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty if absent."""
        found = self._get(key)
        if found is None:
            return ()
        if not isinstance(found, list) or not all(is_text(one) for one in found):
            self._complain(key, "must be a list of texts")
            return ()
        if len(found) > MAX_ENTRIES:
            self._complain(key, f"must have at most {MAX_ENTRIES} entries, got {len(found)}")
        return tuple(found[:MAX_ENTRIES])

    def text(self, key: str) -> str | None:
        found = self._get(key)
        if found is None or (isinstance(found, str) and is_text(found)):
            return found
        self._complain(key, f"must be a text of 1 to {MAX_TEXT_CHARS} characters")
        return None

    def number(self, key: str, low: float, high: float, default: float) -> float:
        found = self._get(key)
        if found is None:
            return default
        if not isinstance(found, int | float) or isinstance(found, bool) or not low <= found <= high:
            self._complain(key, f"must be {low:g} to {high:g}, got {found!r:.40}")
            return default
        return float(found)

    def path(self, key: str) -> Path | None:
        """An absolute path: the agent's own folder is nowhere in particular."""
        found = self.text(key)
        if found is None:
            return None
        if not Path(found).is_absolute():
            self._complain(key, f"must be an absolute path, got {masked(found)!r:.100}")
        return Path(found)

    def paths(self, key: str) -> tuple[Path, ...]:
        found = self.texts(key)
        relative = [one for one in found if not Path(one).is_absolute()]
        if relative:
            self._complain(key, f"must be absolute paths, got {masked(relative[0])!r:.100}")
        return tuple(Path(one) for one in found)

    def tables(self) -> dict[str, "Section"]:
        """The tables inside, by name: `[backups.NAME]`."""
        found = {}
        for key, content in self._content.items():
            if isinstance(content, dict):
                self._asked.add(key)
                found[key] = Section(content, f"{self._place}.{key}", self._problems)
        if len(found) > MAX_ENTRIES:
            self._problems.append(f"{self._place}: at most {MAX_ENTRIES} tables, got {len(found)}")
        self._tables = list(found.values())
        return found

    def refuse(self, reason: str, key: str | None = None) -> None:
        """Something that only the probe can know to be wrong."""
        self._problems.append(f"{self._place if key is None else f'{self._place}.{key}'}: {reason}")

    def finish(self) -> None:
        """Raises SettingsError if anything was wrong, or if a key was not asked for."""
        self._find_unknown()
        if self._problems:
            raise SettingsError("; ".join(self._problems))

    def _find_unknown(self) -> None:
        for key in sorted(self._content.keys() - self._asked):
            known = f"; there are {', '.join(sorted(self._asked))}" if self._asked else ""
            self._problems.append(f"{self._place}.{key[:100]}: no such setting{known}")
        for table in self._tables:
            table._find_unknown()

    def _get(self, key: str) -> object:
        self._asked.add(key)
        return self._content.get(key)

    def _complain(self, key: str, what: str) -> None:
        self._problems.append(f"{self._place}.{key}: {what}")


class Settings:
    """The whole file."""

    def __init__(self, content: Mapping[str, object] | None = None, name: str = FILE_NAME) -> None:
        self._content = content or {}
        self._name = name

    def section(self, probe: str) -> Section:
        """The probe's section, empty if there is none."""
        found = self._content.get(probe, {})
        place = f"{self._name}: {probe}"
        if not isinstance(found, dict):
            return Section({}, place, [f"{place}: must be a table, written [{probe}]"])
        return Section(found, place)

    def without_probe(self, probes: Iterable[str]) -> list[str]:
        """Problems: sections that belong to none of these probes."""
        return [
            f"{self._name}: {one[:100]}: no such section"
            for one in sorted(self._content.keys() - {*probes, *OWN_SECTIONS})
        ]

    def probes_off(self) -> tuple[str, ...]:
        """The probes that `[probes] off = [...]` turns off. Raises SettingsError."""
        own = self.section("probes")
        off = own.texts("off")
        own.finish()
        return off

    def proxy(self) -> str | None:
        """What `[uplink] proxy = "http://proxy.example:3128"` names. Raises SettingsError."""
        uplink = self.section("uplink")
        proxy = uplink.text("proxy")
        if proxy not in (None, NO_PROXY):
            try:
                parse_proxy(proxy)
            except AddressError as error:
                uplink.refuse(str(error), "proxy")
        uplink.finish()
        return proxy

    def forbidden(self) -> frozenset[str]:
        """What `[privacy] forbid = [...]` keeps on this machine. Raises SettingsError."""
        privacy = self.section("privacy")
        forbidden = privacy.texts("forbid")
        for name in sorted(set(forbidden) - set(PrivacyConfig.__annotations__)):
            privacy.refuse(f"there are {', '.join(PrivacyConfig.__annotations__)}, not {name!r:.100}", "forbid")
        privacy.finish()
        return frozenset(forbidden)


def load_settings(folder: Path) -> Settings:
    """Without the file, nothing is set. Raises SettingsError if it cannot be read, or is no TOML."""
    path = folder / FILE_NAME
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise SettingsError(f"{FILE_NAME}: cannot be read ({error.strerror}); give it to the agent's user") from error
    if len(content) > MAX_FILE_BYTES:
        raise SettingsError(f"{FILE_NAME}: must not be larger than {MAX_FILE_BYTES >> 10} KiB")
    import tomllib  # noqa: PLC0415 - most agents have no such file

    try:
        return Settings(tomllib.loads(content.decode()))
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8
        raise SettingsError(f"{FILE_NAME}: {error}") from error


def is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT_CHARS and "\x00" not in value
