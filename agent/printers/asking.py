"""Asks one printer everything, by the ways that it is to be asked."""

from agent.printers.collecting import collect_all
from agent.printers.connecting import connect_snmp
from agent.printers.ipp import ask_printer
from agent.printers.ipp_decoding import decode_attributes
from agent.printers.merge import merge
from agent.printers.reading import Reading
from agent.printers.targets import IppAccess, SnmpAccess
from protocol.errors import QuarkpulseError


async def ask(
    host: str, snmp: SnmpAccess | None, ipp: IppAccess | None, ipp_host: str | None = None
) -> tuple[Reading | None, list[str]]:
    """What is known then, None if nothing is, and what went wrong."""
    troubles: list[str] = []
    by_snmp = by_ipp = None
    if snmp is not None:
        try:
            by_snmp, trouble = await _ask_by_snmp(host, snmp)
            troubles += [f"SNMP: {trouble}; what was read until then is told"] if trouble else []
        except QuarkpulseError as error:
            troubles.append(f"SNMP: {error}")
    if ipp is not None:
        try:
            by_ipp = decode_attributes(await ask_printer(ipp_host or host, ipp))
        except QuarkpulseError as error:
            troubles.append(f"IPP: {error}")
    return (None if by_snmp is None and by_ipp is None else merge(by_snmp, by_ipp)), troubles


async def _ask_by_snmp(host: str, access: SnmpAccess) -> tuple[Reading, Exception | None]:
    return await collect_all(await connect_snmp(host, access))
