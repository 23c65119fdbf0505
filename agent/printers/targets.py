"""Which printers to read, and how to ask them: checked, since it comes from the collector. `run` loads this."""

import re
from collections.abc import Mapping
from typing import NamedTuple, cast

from protocol import wire

DEFAULT_SNMP_PORT = 161
DEFAULT_IPP_PORT = 631
DEFAULT_IPP_PATH = "/ipp/print"
DEFAULT_COMMUNITY = "public"
AUTHS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
PRIVACIES = ("des", "aes128", "aes192", "aes256")
MIN_PASSWORD_CHARS = 8  # RFC 3414
MAX_TEXT_CHARS = 256
MIN_INTERVAL_SECONDS = 30.0
MAX_INTERVAL_SECONDS = 86_400.0
HOST = re.compile(r"^[a-zA-Z0-9._:%-]{1,253}$")


class TargetError(ValueError):
    """What is wrong with a target, naming the field and never a secret."""


class Secret(str):
    """A text that no message shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class SnmpAccess(NamedTuple):
    version: wire.SnmpVersion = wire.SnmpVersion.V2C
    port: int = DEFAULT_SNMP_PORT
    community: Secret = Secret(DEFAULT_COMMUNITY)
    user: str = ""
    auth: str | None = None  # one of AUTHS
    auth_password: Secret | None = None
    privacy: str | None = None  # one of PRIVACIES
    privacy_password: Secret | None = None


class IppAccess(NamedTuple):
    port: int = DEFAULT_IPP_PORT
    path: str = DEFAULT_IPP_PATH
    tls: bool = False


class PrinterTarget(NamedTuple):
    device_id: str
    host: str
    snmp: SnmpAccess | None = None
    ipp: IppAccess | None = None
    interval_seconds: float = wire.DEFAULT_PRINTER_INTERVAL_SECONDS


def parse_targets(content: object) -> tuple[PrinterTarget, ...]:
    """`printers` of a configuration. Raises TargetError."""
    if not isinstance(content, list) or len(content) > wire.MAX_PRINTERS_PER_AGENT:
        raise TargetError(f"printers must be a list of at most {wire.MAX_PRINTERS_PER_AGENT}")
    targets = tuple(_parse_target(one, f"printers.{place}") for place, one in enumerate(content))
    if len({one.device_id for one in targets}) < len(targets):
        raise TargetError("printers must have one device_id each")
    return targets


def _parse_target(content: object, place: str) -> PrinterTarget:
    fields = _Fields(content, place)
    host = fields.text("host")
    if host is None or not HOST.match(host):
        raise TargetError(f"{place}.host must be a name or an address")
    return PrinterTarget(
        device_id=fields.required("device_id"),
        host=host,
        snmp=None if fields.get("snmp") is None else parse_snmp(fields.get("snmp"), f"{place}.snmp"),
        ipp=None if fields.get("ipp") is None else parse_ipp(fields.get("ipp"), f"{place}.ipp"),
        interval_seconds=fields.number(
            "interval_seconds", wire.DEFAULT_PRINTER_INTERVAL_SECONDS, MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS
        ),
    )


def parse_snmp(content: object, place: str = "snmp") -> SnmpAccess:
    """Raises TargetError."""
    fields = _Fields(content, place)
    version = fields.choice("version", tuple(one.value for one in wire.SnmpVersion)) or wire.SnmpVersion.V2C.value
    access = SnmpAccess(
        version=wire.SnmpVersion(version),
        port=fields.port(DEFAULT_SNMP_PORT),
        community=Secret(fields.text("community") or DEFAULT_COMMUNITY),
        user=fields.text("user") or "",
        auth=fields.choice("auth", AUTHS),
        auth_password=fields.secret("auth_password"),
        privacy=fields.choice("privacy", PRIVACIES),
        privacy_password=fields.secret("privacy_password"),
    )
    if access.version is wire.SnmpVersion.V3:
        _check_user(access, place)
    return access


def _check_user(access: SnmpAccess, place: str) -> None:
    if not access.user:
        raise TargetError(f"{place}.user is missing: SNMP version 3 asks as a user")
    if access.privacy and not access.auth:
        raise TargetError(f"{place}.auth is missing: there is no privacy without authentication")
    for kind, password in (("auth", access.auth_password), ("privacy", access.privacy_password)):
        if getattr(access, kind) and (password is None or len(password) < MIN_PASSWORD_CHARS):
            raise TargetError(f"{place}.{kind}_password must have at least {MIN_PASSWORD_CHARS} characters")


def parse_ipp(content: object, place: str = "ipp") -> IppAccess:
    """Raises TargetError."""
    fields = _Fields(content, place)
    path = fields.text("path") or DEFAULT_IPP_PATH
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
        raise TargetError(f"{place}.path must begin with / and hold no blanks")
    return IppAccess(fields.port(DEFAULT_IPP_PORT), path, fields.get("tls") is True)


def to_wire(targets: tuple[PrinterTarget, ...]) -> list[dict[str, object]]:
    """As `parse_targets` takes it."""
    return [
        {
            "device_id": one.device_id,
            "host": one.host,
            "snmp": None if one.snmp is None else one.snmp._asdict(),
            "ipp": None if one.ipp is None else one.ipp._asdict(),
            "interval_seconds": one.interval_seconds,
        }
        for one in targets
    ]


class _Fields:
    """An object of a configuration, asked field by field. Raises TargetError."""

    def __init__(self, content: object, place: str) -> None:
        if not isinstance(content, dict):
            raise TargetError(f"{place} must be an object")
        self._content = cast("Mapping[str, object]", content)
        self._place = place

    def get(self, name: str) -> object:
        return self._content.get(name)

    def text(self, name: str) -> str | None:
        found = self.get(name)
        if found is None:
            return None
        if not isinstance(found, str) or not 0 < len(found) <= MAX_TEXT_CHARS or "\x00" in found:
            raise TargetError(f"{self._place}.{name} must be a text of 1 to {MAX_TEXT_CHARS} characters")
        return found

    def required(self, name: str) -> str:
        found = self.text(name)
        if found is None:
            raise TargetError(f"{self._place}.{name} is missing")
        return found

    def secret(self, name: str) -> Secret | None:
        found = self.text(name)
        return None if found is None else Secret(found)

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        found = self.text(name)
        if found is not None and found not in choices:
            raise TargetError(f"{self._place}.{name} must be one of {', '.join(choices)}")
        return found

    def port(self, default: int) -> int:
        return int(self.number("port", default, 1, 65_535))

    def number(self, name: str, default: float, low: float, high: float) -> float:
        found = self._content.get(name, default)
        if isinstance(found, bool) or not isinstance(found, int | float) or not low <= found <= high:
            raise TargetError(f"{self._place}.{name} must be {low:g} to {high:g}")
        return found
