"""Devices that break the rules, each in its own way: what is known is kept, what is wrong is said, and it ends."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence

import pytest

from agent.printers import mibs
from agent.printers.collecting import MAX_SILENT, collect_all, collect_tables
from agent.printers.errors import BadAnswer, NoAnswer
from agent.printers.reading import Fill, Reading
from agent.printers.snmp import MAX_ROWS, SnmpClient
from agent.printers.targets import Secret, SnmpAccess
from agent.printers.vendors import MAKERS
from bench._snmp_device import (
    COUNTER32,
    GET,
    GET_BULK,
    GET_NEXT,
    Device,
    Encoded,
    Objects,
    Oid,
    Request,
    encode_response,
    integer,
    load_recording,
    octets,
    parse_oid,
)
from protocol.wire import SnmpVersion
from tests.agent.printers.heard import Heard
from tests.agent.printers.snmpsim import RECORDINGS

HP = Objects(load_recording(RECORDINGS / "jetdirect_m252dw.snmprec"))
LEVELS, TRAYS = parse_oid(mibs.SUPPLY_LEVEL), parse_oid(mibs.INPUT_LEVEL)
TABLES = parse_oid("1.3.6.1.2.1.43")
PATIENCE_SECONDS = 0.3  # where the time really passes


def client_of(device: Device, version: SnmpVersion = SnmpVersion.V2C) -> SnmpClient:
    return Heard(device, version, attempts=2)


def impatient(port: int) -> SnmpClient:
    access = SnmpAccess(SnmpVersion.V2C, port, Secret("public"))
    return SnmpClient("127.0.0.1", access, timeout_seconds=PATIENCE_SECONDS, attempts=2)


def printer_with(**columns: Sequence[Encoded]) -> Objects:
    """A printer of one supply a row, from columns by their names in `mibs`."""
    found: dict[Oid, Encoded] = {(*parse_oid(mibs.SYS_DESCR), 0): octets(b"A printer")}
    for name, cells in columns.items():
        column = parse_oid(getattr(mibs, name))
        found |= {(*column, 1, row): cell for row, cell in enumerate(cells, start=1)}
    return Objects(found)


async def read(device: Device, version: SnmpVersion = SnmpVersion.V2C) -> tuple[Reading, Exception | None]:
    async with asyncio.timeout(60):
        return await collect_all(client_of(device, version))


def serving(objects: Objects) -> Callable[[Request], list[bytes]]:
    return lambda request: [objects.answer(request)]


async def test_a_good_one_for_comparison() -> None:
    with Device(serving(HP)) as device:
        reading, trouble = await read(device)
    assert trouble is None
    assert [one.level for one in reading.supplies] == [63, 63, 88, 36]


BROKEN = [
    pytest.param(b"\x30", id="a header cut off"),
    pytest.param(b"\x30\x82", id="a length cut off"),
    pytest.param(b"\x30\x84\xff\xff\xff\xff", id="a length of 4 GiB"),
    pytest.param(b"\x30\x80\x00\x00", id="an indefinite length"),
    pytest.param(b"\x1f\xff\xff\xff\xff", id="a tag without an end"),
    pytest.param(b"\x00" * 1400, id="zeros"),
    pytest.param(b"\xff" * 1400, id="ones"),
    pytest.param(b"<html>this is no SNMP</html>", id="another protocol"),
]


@pytest.mark.parametrize("rubbish", BROKEN)
async def test_malformed_answers_are_said_to_be_none(rubbish: bytes) -> None:
    with Device(lambda _: [rubbish]) as device:
        with pytest.raises(BadAnswer, match="no SNMP"):
            await read(device)
        assert len(device.requests) == 2  # asked again once


@pytest.mark.parametrize("at", [10, 20, 25, 30, 34, 38, 40, 45])
@pytest.mark.parametrize("octet", [0x00, 0x7F, 0x80, 0xFF])
async def test_an_answer_with_one_wrong_octet_does_no_harm(at: int, octet: int) -> None:
    def spoil(request: Request) -> list[bytes]:
        answer = bytearray(HP.answer(request))
        answer[at] = octet
        return [bytes(answer)]

    with Device(spoil) as device, contextlib.suppress(BadAnswer, NoAnswer):
        await impatient(device.port).get([f"{mibs.SYS_DESCR}.0"])


async def test_answers_of_another_address_are_not_heard() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))

        def by_another(request: Request) -> list[bytes]:
            stranger.sendto(HP.answer(request), device.peer)
            return []

        with Device(by_another) as device, pytest.raises(NoAnswer, match="no answer on UDP port"):
            await collect_all(impatient(device.port))
    assert len(device.requests) == 2


async def test_late_and_strange_answers_do_not_count() -> None:
    def with_others(request: Request) -> list[bytes]:
        other = request._replace(request_id=request.request_id - 1)
        foreign = request._replace(community=b"another")
        lie = [(one, integer(7)) for one in request.objects]
        return [encode_response(other, lie), encode_response(foreign, lie), HP.answer(request)]

    with Device(with_others) as device:
        reading, trouble = await read(device)
    assert trouble is None
    assert reading.model == "HP Color LaserJet Pro M252dw"


async def test_a_flood_of_strange_answers_ends_with_the_patience() -> None:
    def flood(request: Request) -> list[bytes]:
        return [encode_response(request._replace(request_id=number), []) for number in range(2_000)]

    with Device(flood) as device, pytest.raises(NoAnswer):
        await collect_all(impatient(device.port))


@pytest.mark.parametrize("version", [SnmpVersion.V1, SnmpVersion.V2C])
async def test_a_walk_in_a_circle_ends(version: SnmpVersion) -> None:
    """Its table answers its own last row again and again."""

    def circle(request: Request) -> list[bytes]:
        if request.kind != GET and request.objects[0][: len(LEVELS)] == LEVELS:
            row = (*LEVELS, 1, 1 if len(request.objects[0]) == len(LEVELS) else 2)
            return [encode_response(request, [(row, integer(50))] * max(1, request.repetitions))]
        return [HP.answer(request)]

    with Device(circle) as device:
        reading, trouble = await read(device, version)
        assert len(device.requests) < 150
    assert trouble is None
    assert len(reading.supplies) == 4


async def test_a_walk_that_never_ends_is_cut() -> None:
    def endless(request: Request) -> list[bytes]:
        if request.kind != GET and request.objects[0][: len(LEVELS)] == LEVELS:
            after = request.objects[0][len(LEVELS) + 1 :] or (0,)
            rows = [(*LEVELS, 1, after[0] + more) for more in range(1, request.repetitions + 1)]
            return [encode_response(request, [(row, integer(50)) for row in rows])]
        return [HP.answer(request)]

    with Device(endless) as device:
        found = await client_of(device).walk(mibs.SUPPLY_LEVEL)
        assert len(found) == MAX_ROWS
        assert len(device.requests) <= MAX_ROWS / 16 + 1


async def test_a_huge_table_is_read_in_part() -> None:
    columns = {name: [integer(1)] * 2_000 for name in ("SUPPLY_LEVEL", "SUPPLY_TYPE", "SUPPLY_MAX_CAPACITY")}
    with Device(serving(printer_with(**columns))) as device:
        reading, trouble = await read(device)
    assert trouble is None
    assert 0 < len(reading.supplies) <= MAX_ROWS


async def test_rows_in_odd_order_are_sorted() -> None:
    order = [3, 1, 2]

    def shuffled(request: Request) -> list[bytes]:
        if request.kind == GET or request.objects[0][: len(LEVELS)] != LEVELS:
            return [HP.answer(request)]
        last = request.objects[0][-1] if len(request.objects[0]) > len(LEVELS) else None
        rest = order if last is None else order[order.index(last) + 1 :]
        rows = [((*LEVELS, 1, row), integer(row * 10)) for row in rest][: max(1, request.repetitions)]
        return [encode_response(request, rows) if rows else HP.answer(request._replace(objects=((*LEVELS, 2),)))]

    with Device(shuffled) as device:
        reading, _ = await read(device)
    assert [(one.index, one.level) for one in reading.supplies] == [("1", 10), ("2", 20), ("3", 30), ("4", None)]


async def test_bulk_questions_become_smaller_until_they_are_answered() -> None:
    """It drops what would not fit, and answers one row at a time."""

    def small(request: Request) -> list[bytes]:
        return [] if request.kind == GET_BULK else [HP.answer(request)]

    with Device(small) as device:
        client = client_of(device)
        found = await client.walk(mibs.SUPPLY_LEVEL)
        sizes = [request.repetitions for request in device.requests if request.kind == GET_BULK]
        assert sizes == [16, 4]
        assert sorted(found) == [(1, 1), (1, 2), (1, 3), (1, 4)]
        await client.walk(mibs.SUPPLY_TYPE)
        assert [request.kind for request in device.requests[-5:]] == [GET_NEXT] * 5  # it has learnt


async def test_an_answer_that_is_too_big_is_no_end_of_the_table() -> None:
    def too_big(request: Request) -> list[bytes]:
        if request.kind == GET_BULK:
            return [encode_response(request, [], error=1)]
        return [HP.answer(request)]

    with Device(too_big) as device:
        reading, trouble = await read(device)
    assert trouble is None
    assert [one.level for one in reading.supplies] == [63, 63, 88, 36]


async def test_one_that_falls_silent_in_the_middle_has_told_what_it_told() -> None:
    ended: list[Request] = []

    def until_trays(request: Request) -> list[bytes]:
        ended.extend([request] if request.objects[0][: len(TRAYS)] == TRAYS else [])
        return [] if ended else [HP.answer(request)]

    with Device(until_trays) as device:
        reading, trouble = await read(device)
    assert str(trouble) == "fell silent in the middle"
    assert reading.serial == "VNB3J99999"
    assert [one.level for one in reading.supplies] == [63, 63, 88, 36]
    assert reading.trays == ()


async def test_one_silent_column_loses_no_later_ones_and_they_are_still_asked_for_in_bulk() -> None:
    def all_but_one(request: Request) -> list[bytes]:
        return [] if request.objects[0][: len(LEVELS)] == LEVELS else [HP.answer(request)]

    with Device(all_but_one) as device:
        reading, trouble = await read(device)
        later = [one for one in device.requests if one.objects[0][: len(TRAYS)] == TRAYS]
    assert str(trouble) == "fell silent in the middle"
    assert [(one.description, one.level) for one in reading.supplies[:1]] == [("Black Cartridge HP CF400X", None)]
    assert [one.name for one in reading.trays] == ["Tray 1", "Tray 2"]
    assert [request.kind for request in later] == [GET_BULK]


async def test_one_that_answers_nothing_any_more_costs_a_few_questions() -> None:
    def only_what_it_is(request: Request) -> list[bytes]:
        return [] if request.objects[0][: len(TABLES)] == TABLES else [HP.answer(request)]

    with Device(only_what_it_is) as device:
        client = client_of(device)
        await client.get([f"{mibs.SYS_DESCR}.0"])
        device.requests.clear()
        collected = await collect_tables(client, MAKERS[11])
        asked = {request.objects[0] for request in device.requests}
    assert (collected.complete, len(asked)) == (frozenset(), MAX_SILENT)


@pytest.mark.parametrize("column", [mibs.HR_DEVICE_TYPE, mibs.HR_PRINTER_ERRORS, mibs.CHARACTER_SET])
async def test_one_silent_column_of_what_it_is_costs_no_more_than_itself(column: str) -> None:
    silent = parse_oid(column)

    def all_but_one(request: Request) -> list[bytes]:
        return [] if request.objects[0][: len(silent)] == silent else [HP.answer(request)]

    with Device(all_but_one) as device:
        reading, trouble = await read(device)
    assert str(trouble) == "fell silent in the middle"
    assert (reading.serial, reading.model) == ("VNB3J99999", "HP Color LaserJet Pro M252dw")
    assert [one.level for one in reading.supplies] == [63, 63, 88, 36]


async def test_alerts_need_no_severity() -> None:
    printer = printer_with(ALERT_CODE=[integer(808)], ALERT_GROUP=[integer(8)], ALERT_DESCRIPTION=[octets(b"Tray 1")])
    with Device(serving(printer)) as device:
        reading, _ = await read(device)
    (alert,) = reading.alerts
    told = (alert.severity, alert.group, alert.code, alert.description)
    assert told == ("unknown", "input", "inputMediaSupplyEmpty", "Tray 1")


async def test_nothing_listens_there() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        port = gone.getsockname()[1]
    client = impatient(port)
    with pytest.raises(NoAnswer, match=f"nothing listens on UDP port {port}: SNMP is off there"):
        await collect_all(client)


async def test_numbers_beyond_reason_are_not_told() -> None:
    printer = printer_with(
        SUPPLY_LEVEL=[integer(150), integer(-100), integer(2**31 - 1, COUNTER32), octets(b"42"), octets(b"many")],
        SUPPLY_MAX_CAPACITY=[integer(100)] * 5,
        MARKER_LIFE_COUNT=[integer(2**32 - 1, COUNTER32)],
    )
    with Device(serving(printer)) as device:
        reading, _ = await read(device)
    told = [(one.level, one.ratio, one.state) for one in reading.supplies]
    assert told == [
        (150, 1.0, Fill.OK),  # above its capacity
        (None, None, Fill.UNKNOWN),
        (2**31 - 1, None, Fill.OK),  # so far above it that the two are not told in one unit
        (42, 0.42, Fill.OK),  # a number sent as text
        (None, None, Fill.UNKNOWN),
    ]
    assert reading.pages is None
