"""How a printer is asked: by SNMP, by IPP, how often. Passwords are in it, and in nothing that is shown."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from collector.fleet.errors import FleetError
from protocol.models import IppConfig, SnmpConfig, WireModel
from protocol.wire import DEFAULT_PRINTER_INTERVAL_SECONDS, SnmpVersion

logger = logging.getLogger(__name__)

DEFAULT_COMMUNITY = "public"
MIN_PASSWORD_CHARS = 8  # RFC 3414, 11.2: no key is made of a shorter one
MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 30.0, 86_400.0
SECRET_FIELDS = frozenset({"community", "auth_password", "privacy_password"})

_ADDRESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:%-]{0,198}[A-Za-z0-9])?")

M = TypeVar("M", bound=WireModel)


@dataclass(frozen=True, slots=True)
class Asking:
    """Nothing of both: the printer is not read."""

    snmp: SnmpConfig | None = None
    ipp: IppConfig | None = None
    interval_seconds: float = DEFAULT_PRINTER_INTERVAL_SECONDS

    @property
    def ways(self) -> list[str]:
        return [name for name, how in (("snmp", self.snmp), ("ipp", self.ipp)) if how is not None]


NOT_ASKED = Asking()


def stored_asking(snmp: object, ipp: object, interval_seconds: float) -> Asking:
    """As the database has it; what is not understood, such as of a newer version, is left out and told."""
    return Asking(_stored(SnmpConfig, snmp), _stored(IppConfig, ipp), interval_seconds)


def columns_of(asking: Asking) -> dict[str, object]:
    return {
        "snmp": None if asking.snmp is None else asking.snmp.model_dump(mode="json", exclude_none=True),
        "ipp": None if asking.ipp is None else asking.ipp.model_dump(mode="json", exclude_none=True),
        "interval_seconds": asking.interval_seconds,
    }


def shown_asking(asking: Asking) -> dict[str, object]:
    """For people: of a password only that there is one."""
    snmp = None if asking.snmp is None else asking.snmp.model_dump(mode="json", exclude_none=True)
    if snmp is not None:
        snmp = {name: "set" if name in SECRET_FIELDS else value for name, value in snmp.items()}
    ipp = None if asking.ipp is None else asking.ipp.model_dump(mode="json", exclude_none=True)
    return {"snmp": snmp, "ipp": ipp, "interval_seconds": asking.interval_seconds}


def checked_asking(snmp: Mapping[str, object] | None, ipp: Mapping[str, object] | None, interval: float) -> Asking:
    """What a person said, checked as a whole; a v1 or v2c printer without a community is asked with `public`.

    Raises FleetError."""
    if not MIN_INTERVAL_SECONDS <= interval <= MAX_INTERVAL_SECONDS:
        raise FleetError(f"a printer is read every {MIN_INTERVAL_SECONDS:.0f} to {MAX_INTERVAL_SECONDS:.0f} seconds")
    asking = Asking(
        None if snmp is None else _checked_snmp(_checked(SnmpConfig, "SNMP", snmp)),
        None if ipp is None else _checked(IppConfig, "IPP", ipp),
        interval,
    )
    if not asking.ways:
        raise FleetError("a printer is read by SNMP, by IPP or by both: leave one of them on")
    return asking


def checked_address(address: str) -> str:
    """A host name or an IP address. Raises FleetError."""
    if not _ADDRESS.fullmatch(address):
        raise FleetError(
            f"a printer's address is a host name or an IP address, without scheme or port, not {address[:80]!r}"
        )
    return address


def _checked_snmp(snmp: SnmpConfig) -> SnmpConfig:
    if snmp.version is not SnmpVersion.V3:
        if snmp.user or snmp.auth or snmp.auth_password or snmp.privacy or snmp.privacy_password:
            raise FleetError(f"SNMP {snmp.version} has a community; a user and passwords are version 3's")
        return snmp if snmp.community else snmp.model_copy(update={"community": DEFAULT_COMMUNITY})
    if snmp.community:
        raise FleetError("SNMP version 3 has a user and passwords; a community is version 1's and 2c's")
    if not snmp.user:
        raise FleetError("SNMP version 3 needs a user")
    for what, protocol, password in (
        ("authentication", snmp.auth, snmp.auth_password),
        ("privacy", snmp.privacy, snmp.privacy_password),
    ):
        if (protocol is None) != (password is None):
            raise FleetError(f"SNMP's {what} needs a protocol and a password, or neither")
        if password is not None and len(password) < MIN_PASSWORD_CHARS:
            raise FleetError(f"SNMP's password for {what} has {MIN_PASSWORD_CHARS} characters at least")
    if snmp.privacy is not None and snmp.auth is None:
        raise FleetError("SNMP has no privacy without authentication")
    return snmp


def _checked(model: type[M], what: str, given: Mapping[str, object]) -> M:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise FleetError(f"{what}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _stored(model: type[M], value: Any) -> M | None:  # noqa: ANN401 - JSON
    if value is None:
        return None
    try:
        return model.model_validate(value)
    except ValidationError:
        logger.warning("a printer's stored %s is not understood, and left out", model.__name__)
        return None
