"""What the collector tells the agent to do: checked whole before any of it is taken, without pydantic."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from protocol import wire
from protocol.errors import PermanentError
from protocol.wire import CustomCheck, IppConfig, PrinterConfig, PrivacyConfig, SnmpConfig

MAX_TEXT_CHARS = 256
CHECK_NAME = re.compile(wire.CHECK_NAME_PATTERN)
SERVICE_NAME = re.compile(wire.SERVICE_NAME_PATTERN)
DEFAULT_SNMP_PORT = 161
DEFAULT_IPP_PORT = 631
MAX_PORT = 65_535

T = TypeVar("T")


class ConfigError(PermanentError):
    """A configuration that cannot be used; the one before stays."""


class AgentConfig(NamedTuple):
    """The parts of `wire.Config` that an agent acts on, all of them present. Nobody writes into what is in it."""

    push_interval_seconds: float | None = None
    probe_intervals_seconds: Mapping[str, float] = {}
    probes_off: frozenset[str] = frozenset()
    services: tuple[str, ...] = ()
    custom_checks: tuple[CustomCheck, ...] = ()
    printers: tuple[PrinterConfig, ...] = ()
    privacy: PrivacyConfig = PrivacyConfig(user_names=False, software=False)


def parse_config(content: Mapping[str, object]) -> AgentConfig:
    """Raises ConfigError, naming the first field that is wrong. Fields that are not known are left out."""
    whole = Fields(content)
    probes = whole.inner("probe_intervals_seconds") or Fields({})
    privacy = whole.inner("privacy") or Fields({})
    return AgentConfig(
        push_interval_seconds=whole.optional_number("push_interval_seconds", 1, wire.MAX_FRAME_INTERVAL_SECONDS),
        probe_intervals_seconds={
            name: seconds
            for name in probes.names
            if (seconds := probes.optional_number(name, 1, wire.MAX_INTERVAL_SECONDS)) is not None
        },
        probes_off=frozenset(whole.texts("probes_off", wire.MAX_PROBES_OFF)),
        services=parse_services(whole),
        custom_checks=whole.each("custom_checks", wire.MAX_CUSTOM_CHECKS, parse_check),
        printers=whole.each("printers", wire.MAX_PRINTERS_PER_AGENT, parse_printer),
        privacy=PrivacyConfig(user_names=privacy.flag("user_names"), software=privacy.flag("software")),
    )


def parse_services(fields: "Fields") -> tuple[str, ...]:
    services = fields.texts("services", wire.MAX_SERVICES)
    if not all(SERVICE_NAME.fullmatch(name) for name in services):
        raise fields.refusal("services", "must hold names of services, without blanks and wildcards")
    return tuple(services)


def parse_check(fields: "Fields") -> CustomCheck:
    command = fields.texts("command", wire.MAX_COMMAND_WORDS, wire.MAX_COMMAND_WORD_CHARS)
    if not command:
        raise fields.refusal("command", "must name a program")
    name = fields.text("name")
    if not CHECK_NAME.fullmatch(name):
        raise fields.refusal("name", "must be letters, digits, dots, hyphens and underscores, at most 64")
    return CustomCheck(
        name=name,
        command=command,
        interval_seconds=fields.number(
            "interval_seconds",
            wire.MIN_CHECK_INTERVAL_SECONDS,
            wire.MAX_INTERVAL_SECONDS,
            default=wire.DEFAULT_PUSH_INTERVAL_SECONDS,
        ),
        timeout_seconds=fields.number(
            "timeout_seconds", 1, wire.MAX_CHECK_TIMEOUT_SECONDS, default=wire.DEFAULT_CHECK_TIMEOUT_SECONDS
        ),
    )


def parse_printer(fields: "Fields") -> PrinterConfig:
    snmp, ipp = fields.inner("snmp"), fields.inner("ipp")
    return PrinterConfig(
        device_id=fields.text("device_id"),
        host=fields.text("host"),
        snmp=None if snmp is None else parse_snmp(snmp),
        ipp=None if ipp is None else parse_ipp(ipp),
        interval_seconds=fields.number(
            "interval_seconds",
            wire.MIN_PRINTER_INTERVAL_SECONDS,
            wire.MAX_INTERVAL_SECONDS,
            default=wire.DEFAULT_PRINTER_INTERVAL_SECONDS,
        ),
    )


def parse_snmp(fields: "Fields") -> SnmpConfig:
    return SnmpConfig(
        version=fields.one_of("version", tuple(wire.SnmpVersion)) or wire.SnmpVersion.V2C,
        port=fields.port("port", DEFAULT_SNMP_PORT),
        community=fields.optional_text("community"),
        user=fields.optional_text("user"),
        auth=fields.one_of("auth", tuple(wire.SnmpAuth)),
        auth_password=fields.optional_text("auth_password"),
        privacy=fields.one_of("privacy", tuple(wire.SnmpPrivacy)),
        privacy_password=fields.optional_text("privacy_password"),
    )


def parse_ipp(fields: "Fields") -> IppConfig:
    path = fields.optional_text("path") or wire.DEFAULT_IPP_PATH
    if not path.startswith("/"):
        raise fields.refusal("path", "must begin with /")
    return IppConfig(port=fields.port("port", DEFAULT_IPP_PORT), path=path, tls=fields.flag("tls"))


class Fields:
    """An object of the configuration, and where in it. What is null is as good as absent. No text is in a message: it
    may be a password."""

    def __init__(self, content: Mapping[str, object], place: str = "") -> None:
        self._content = content
        self._place = place

    @property
    def names(self) -> list[str]:
        return list(self._content)

    def refusal(self, name: str, what: str) -> ConfigError:
        return ConfigError(f"{self._place}{name:.64} {what}")

    def optional_number(self, name: str, low: float, high: float) -> float | None:
        found = self._content.get(name)
        if found is None:
            return None
        if not isinstance(found, int | float) or isinstance(found, bool) or not low <= found <= high:
            raise self.refusal(name, f"must be {low:g} to {high:g}, got {found!r:.40}")
        return float(found)

    def number(self, name: str, low: float, high: float, default: float) -> float:
        found = self.optional_number(name, low, high)
        return default if found is None else found

    def port(self, name: str, default: int) -> int:
        return int(self.number(name, 1, MAX_PORT, default))

    def flag(self, name: str) -> bool:
        found = self._content.get(name)
        if found is not None and not isinstance(found, bool):
            raise self.refusal(name, "must be true or false")
        return found is True

    def optional_text(self, name: str) -> str | None:
        found = self._content.get(name)
        if found is None:
            return None
        if not isinstance(found, str) or not 0 < len(found) <= MAX_TEXT_CHARS or "\0" in found:
            raise self.refusal(name, f"must be a text of 1 to {MAX_TEXT_CHARS} characters")
        return found

    def text(self, name: str) -> str:
        found = self.optional_text(name)
        if found is None:
            raise self.refusal(name, "is missing")
        return found

    def one_of(self, name: str, choices: Sequence[str]) -> str | None:
        found = self.optional_text(name)
        if found is not None and found not in choices:
            raise self.refusal(name, f"must be one of {', '.join(choices)}")
        return found

    def texts(self, name: str, most: int, max_chars: int = MAX_TEXT_CHARS) -> list[str]:
        found = self._list(name, most)
        if not all(isinstance(one, str) and 0 < len(one) <= max_chars and "\0" not in one for one in found):
            raise self.refusal(name, f"must hold texts of 1 to {max_chars} characters")
        return [str(one) for one in found]

    def inner(self, name: str) -> "Fields | None":
        found = self._content.get(name)
        if found is None:
            return None
        if not isinstance(found, dict):
            raise self.refusal(name, "must be an object")
        return Fields(found, f"{self._place}{name}.")

    def each(self, name: str, most: int, parse: Callable[["Fields"], T]) -> tuple[T, ...]:
        found = self._list(name, most)
        if not all(isinstance(one, dict) for one in found):
            raise self.refusal(name, "must hold objects")
        return tuple(
            parse(Fields(one, f"{self._place}{name}.{number}."))
            for number, one in enumerate(found)
            if isinstance(one, dict)
        )

    def _list(self, name: str, most: int) -> list[object]:
        found = self._content.get(name)
        if found is None:
            return []
        if not isinstance(found, list) or len(found) > most:
            raise self.refusal(name, f"must be a list of at most {most}")
        return found
