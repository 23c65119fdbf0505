"""The way to a printer by SNMP, where SNMP is installed."""

import importlib
from typing import TYPE_CHECKING

from agent.printers.errors import NotPossible
from agent.printers.targets import SnmpAccess

TIMEOUT_SECONDS = 3.0  # a busy printer takes its time
ATTEMPTS = 2

if TYPE_CHECKING:
    from agent.printers.snmp import SnmpClient


async def connect_snmp(
    host: str,
    access: SnmpAccess,
    *,
    repetitions: int | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    attempts: int = ATTEMPTS,
) -> "SnmpClient":
    """Raises NoAnswer, BadAnswer, AccessRefused; NotPossible where the extra is missing: there is IPP without it."""
    check_snmp()
    from agent.printers.snmp import SnmpClient, resolve  # noqa: PLC0415 - it may be missing

    client = SnmpClient(
        await resolve(host), access, repetitions=repetitions, timeout_seconds=timeout_seconds, attempts=attempts
    )
    await client.open()
    return client


def check_snmp() -> None:
    """Raises NotPossible where SNMP is missing."""
    try:
        importlib.import_module("gufo.snmp")
    except ImportError as error:
        raise NotPossible(
            f"{error.name} is missing: install quarkpulse[printers]; on Windows printers are read by IPP alone"
        ) from error
