"""How a printer is asked: what the collector or a person said, checked for what SNMP and IPP can make nothing of."""

from typing import NamedTuple

from agent.printers.errors import NotPossible
from protocol.wire import IppConfig, SnmpAuth, SnmpConfig, SnmpPrivacy, SnmpVersion

DEFAULT_COMMUNITY = "public"
MIN_PASSWORD_CHARS = 8  # RFC 3414


class Secret(str):
    """A text that no message shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class SnmpAccess(NamedTuple):
    version: SnmpVersion
    port: int
    community: Secret = Secret(DEFAULT_COMMUNITY)
    user: str = ""
    auth: SnmpAuth | None = None
    auth_password: Secret = Secret()
    privacy: SnmpPrivacy | None = None
    privacy_password: Secret = Secret()


def make_snmp_access(config: SnmpConfig) -> SnmpAccess:
    """Raises NotPossible, naming what is missing and no secret."""
    auth, privacy = config.get("auth"), config.get("privacy")
    access = SnmpAccess(
        version=SnmpVersion(config["version"]),
        port=config["port"],
        community=Secret(config.get("community") or DEFAULT_COMMUNITY),
        user=config.get("user") or "",
        auth=SnmpAuth(auth) if auth else None,
        auth_password=Secret(config.get("auth_password") or ""),
        privacy=SnmpPrivacy(privacy) if privacy else None,
        privacy_password=Secret(config.get("privacy_password") or ""),
    )
    if access.version is SnmpVersion.V3:
        _check_user(access)
    return access


def _check_user(access: SnmpAccess) -> None:
    if not access.user:
        raise NotPossible("SNMP version 3 asks as a user: name one")
    if access.privacy and not access.auth:
        raise NotPossible("there is no privacy without authentication: name an algorithm and a password for it")
    for kind, algorithm, password in (
        ("authentication", access.auth, access.auth_password),
        ("privacy", access.privacy, access.privacy_password),
    ):
        if algorithm and len(password) < MIN_PASSWORD_CHARS:
            raise NotPossible(f"the password for {kind} must have at least {MIN_PASSWORD_CHARS} characters")


class IppAccess(NamedTuple):
    port: int
    path: str
    tls: bool = False


def make_ipp_access(config: IppConfig) -> IppAccess:
    """Raises NotPossible."""
    path = config["path"]
    if not path.isascii() or not path.isprintable() or " " in path:
        raise NotPossible(f"the path {path!r:.80} is none: it must be printable ASCII without blanks")
    return IppAccess(config["port"], path, config["tls"])
