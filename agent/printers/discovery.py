"""Looks for printers: a sweep of networks by SNMP, a few addresses at a time, and what announces itself by mDNS."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from agent.printers import mibs
from agent.printers.collecting import Asked
from agent.printers.connecting import check_snmp, connect_snmp
from agent.printers.decoding import decode
from agent.printers.errors import NotPossible
from agent.printers.ipp import ask_printer
from agent.printers.ipp_decoding import decode_attributes
from agent.printers.rows import Rows
from agent.printers.targets import IppAccess, SnmpAccess, make_ipp_access
from agent.printers.vendors import maker_of
from protocol.errors import QuarkpulseError
from protocol.wire import IppConfig

logger = logging.getLogger(__name__)

MIN_PREFIX = 20  # 4096 addresses: two minutes
AT_ONCE = 64
REQUESTS_PER_SECOND = 100  # all that is sent; no switch and no printer notices
TIMEOUT_SECONDS = 1.0
LISTEN_SECONDS = 5.0  # to mDNS
SERVICES = ("_ipp._tcp.local.", "_ipps._tcp.local.")
MAX_ANNOUNCED = 1_000
# Whoever has one of these is a printer; it costs others one small answer.
SIGNS = (mibs.HR_PRINTER_ERRORS, mibs.GENERAL_SERIAL, mibs.MARKER_LIFE_COUNT, mibs.SUPPLY_LEVEL)
QUESTION = (
    f"{mibs.SYS_DESCR}.0",
    f"{mibs.SYS_OBJECT_ID}.0",
    f"{mibs.HR_DEVICE_TYPE}.1",
    f"{mibs.HR_DEVICE_DESCR}.1",
    f"{mibs.HR_PRINTER_ERRORS}.1",
    f"{mibs.GENERAL_SERIAL}.1",
    f"{mibs.MARKER_LIFE_COUNT}.1.1",
    f"{mibs.SUPPLY_LEVEL}.1.1",
)
COLUMNS = (mibs.SYS_DESCR, mibs.SYS_OBJECT_ID, mibs.HR_DEVICE_TYPE, mibs.HR_DEVICE_DESCR, *SIGNS)


@dataclass(frozen=True, slots=True)
class Found:
    address: str
    serial: str | None = None
    model: str | None = None
    snmp: bool = False
    ipp: bool = False


@dataclass(frozen=True, slots=True)
class Announced:
    """What a printer says of itself by mDNS."""

    address: str
    access: IppAccess
    model: str | None


class Pace:
    """Lets so many through in a second, evenly."""

    def __init__(self, per_second: float) -> None:
        self._gap_seconds = 1 / per_second
        self._next = 0.0

    async def wait(self) -> None:
        now = asyncio.get_running_loop().time()
        self._next = max(now, self._next) + self._gap_seconds
        await asyncio.sleep(self._next - self._gap_seconds - now)


def parse_networks(texts: Sequence[str]) -> tuple[IPv4Network, ...]:
    """Raises NotPossible, naming the one that is wrong."""
    found = []
    for text in texts:
        try:
            network = IPv4Network(text, strict=False)
        except ValueError as error:
            raise NotPossible(f"{text!r:.60} is no network such as 192.168.1.0/24 ({error})") from error
        if network.prefixlen < MIN_PREFIX:
            raise NotPossible(f"{network} is too large to look through: at most a /{MIN_PREFIX} at a time")
        found.append(network)
    return tuple(found)


async def discover(
    networks: Sequence[IPv4Network], access: SnmpAccess, *, interfaces: Sequence[str] | None = None
) -> list[Found]:
    """Printers in these networks, in the order of their addresses. Raises NotPossible without the extra.

    mDNS is spoken on the interfaces with these addresses, on all if None, on none if there are none; it is listened to
    where SNMP is missing, too."""
    sweeping = _sweep_if_possible(networks, access) if interfaces or interfaces is None else sweep(networks, access)
    swept, announced = await asyncio.gather(sweeping, listen(networks, interfaces))
    found = {one.address: one for one in swept}
    for one in announced:
        known = found.get(one.address) or await _ask(one)
        found[one.address] = replace(known, ipp=True, model=known.model or one.model)
    return [found[address] for address in sorted(found, key=IPv4Address)]


async def _sweep_if_possible(networks: Sequence[IPv4Network], access: SnmpAccess) -> list[Found]:
    try:
        return await sweep(networks, access)
    except NotPossible as error:
        logger.warning("no sweep, only what announces itself is found: reason=%r", str(error))
        return []


async def sweep(networks: Sequence[IPv4Network], access: SnmpAccess) -> list[Found]:
    """What answers SNMP as a printer does."""
    check_snmp()
    pace = Pace(REQUESTS_PER_SECOND)
    addresses = iter([str(address) for network in networks for address in _hosts(network)])
    found: list[Found] = []

    async def work() -> None:
        for address in addresses:
            await pace.wait()
            one = await look_at(address, access)
            found.extend([one] if one is not None else [])

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(work())
    return found


def _hosts(network: IPv4Network) -> Iterator[IPv4Address]:
    yield from network.hosts()


async def look_at(address: str, access: SnmpAccess) -> Found | None:
    """None for what does not answer, or is no printer."""
    rows = Rows()
    try:
        client = await connect_snmp(address, access, timeout_seconds=TIMEOUT_SECONDS, attempts=1)
        for oid, value in (await client.get(QUESTION)).items():
            rows.add_object(oid, COLUMNS, value)
        if not _is_printer(rows) and len(rows):
            await _look_at_other_rows(client, rows)
        if not _is_printer(rows):
            return None
        maker = maker_of(rows.first(mibs.SYS_OBJECT_ID))
        with contextlib.suppress(QuarkpulseError):
            for oid, value in (await client.get(maker.serial)).items():
                rows.add(oid, (), value)
    except QuarkpulseError:
        return None
    reading = decode(rows)
    return Found(address, reading.serial, reading.model, snmp=True)


def _is_printer(rows: Rows) -> bool:
    return rows.first(mibs.HR_DEVICE_TYPE) == mibs.HR_DEVICE_PRINTER or any(map(rows.has, SIGNS))


async def _look_at_other_rows(client: Asked, rows: Rows) -> None:
    """A printer that is not the first of its device's table; what is none answers these with the end of a table."""
    for column in (mibs.HR_PRINTER_ERRORS, mibs.SUPPLY_LEVEL):
        for index, value in (await client.walk(column)).items():
            rows.add(column, index, value)
    if _is_printer(rows):
        for column in (mibs.HR_DEVICE_DESCR, mibs.GENERAL_SERIAL):
            for index, value in (await client.walk(column)).items():
                rows.add(column, index, value)


async def listen(networks: Sequence[IPv4Network], interfaces: Sequence[str] | None) -> list[Announced]:
    """What announces itself within LISTEN_SECONDS, in these networks if there are any. Raises NotPossible."""
    if interfaces is not None and not interfaces:
        return []
    try:
        from zeroconf import InterfaceChoice, IPVersion, ServiceStateChange  # noqa: PLC0415 - may be missing
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf  # noqa: PLC0415
    except ImportError as error:
        raise NotPossible(f"{error.name} is missing: install quarkpulse[printers]") from error
    names: set[tuple[str, str]] = set()

    def on_change(*, service_type: str, name: str, state_change: ServiceStateChange, **_: object) -> None:
        if state_change is ServiceStateChange.Added and len(names) < MAX_ANNOUNCED:
            names.add((service_type, name))

    chosen = InterfaceChoice.All if interfaces is None else list(interfaces)
    zeroconf = AsyncZeroconf(interfaces=chosen, ip_version=IPVersion.V4Only)
    try:
        browser = AsyncServiceBrowser(zeroconf.zeroconf, list(SERVICES), handlers=[on_change])
        await asyncio.sleep(LISTEN_SECONDS)
        await browser.async_cancel()
        found: dict[str, Announced] = {}
        for service_type, name in sorted(names):
            info = AsyncServiceInfo(service_type, name)
            if not await info.async_request(zeroconf.zeroconf, 2_000):
                continue
            for address in info.parsed_addresses(IPVersion.V4Only):
                if not networks or any(IPv4Address(address) in network for network in networks):
                    with contextlib.suppress(NotPossible):  # what is announced is no path: nothing can be asked there
                        one = _announced(address, info.port or 631, service_type, info.properties)
                        found.setdefault(address, one)
        return list(found.values())
    finally:
        await zeroconf.async_close()


def _announced(address: str, port: int, service_type: str, properties: object) -> Announced:
    """The record's texts: `rp` is the path, `ty` what it is. Raises NotPossible."""
    told = {}
    if isinstance(properties, dict):
        told = {key: value.decode(errors="replace") for key, value in properties.items() if isinstance(value, bytes)}
    path = "/" + told.get(b"rp", "ipp/print").lstrip("/")[:200]
    access = make_ipp_access(IppConfig(port=port, path=path, tls="_ipps" in service_type))
    return Announced(address, access, told.get(b"ty", "")[:200] or None)


async def _ask(announced: Announced) -> Found:
    """By IPP, for its serial number."""
    try:
        reading = decode_attributes(await ask_printer(announced.address, announced.access))
    except QuarkpulseError:
        return Found(announced.address)
    return Found(announced.address, reading.serial, reading.model)
