"""The way to a printer by SNMP, where SNMP is installed."""

from typing import TYPE_CHECKING

from agent.printers.errors import NotPossible
from agent.printers.targets import SnmpAccess

if TYPE_CHECKING:
    from agent.printers.snmp import SnmpClient


async def connect_snmp(host: str, access: SnmpAccess, repetitions: int | None = None) -> "SnmpClient":
    """Raises NoAnswer, BadAnswer, AccessRefused; NotPossible where the extra is missing: there is IPP without it."""
    try:
        from agent.printers.snmp import SnmpClient, resolve  # noqa: PLC0415 - it may be missing
    except ImportError as error:
        raise NotPossible(
            f"{error.name} is missing: install quarkpulse[printers]; on Windows printers are read by IPP alone"
        ) from error
    client = SnmpClient(await resolve(host), access, repetitions=repetitions)
    await client.open()
    return client
