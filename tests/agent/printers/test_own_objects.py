"""What makers' own objects tell of pages and supplies, as their MIBs and programs that read them describe them."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.printers import mibs
from agent.printers.collecting import collect_all
from agent.printers.decoding import decode
from agent.printers.own_objects import count_columns, count_objects, level_objects, total_objects, unpack
from agent.printers.reading import Fill, Reading
from agent.printers.rows import Rows, parse_index
from agent.printers.snmp import SnmpClient
from agent.printers.targets import Secret, SnmpAccess
from agent.printers.vendors import MAKERS
from bench._snmp_device import COUNTER32, Device, Encoded, Objects, integer, object_id, octets, parse_oid
from protocol.wire import SnmpVersion


def packed(*numbers: tuple[int, bytes]) -> bytes:
    """As Brother packs them."""
    return b"".join(bytes([code, 1, len(content)]) + content for code, content in numbers) + b"\xff"


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


async def read(maker: int, told: Mapping[str, int | bytes], **standard: int | bytes) -> Reading:
    """A printer of this maker: objects below its number, and the standard's of row 1."""
    values: dict[tuple[int, ...], Encoded] = {
        (*parse_oid(mibs.SYS_OBJECT_ID), 0): object_id(parse_oid(f"{mibs.ENTERPRISES}.{maker}.1.1"))
    }
    for name, value in standard.items():
        values[*parse_oid(getattr(mibs, name)), 1, 1] = encode(value)
    values |= {parse_oid(f"{mibs.ENTERPRISES}.{maker}.{oid}"): encode(value) for oid, value in told.items()}
    objects = Objects(values)
    with Device(lambda request: [objects.answer(request)]) as device:
        access = SnmpAccess(SnmpVersion.V2C, device.port, Secret("public"))
        reading, trouble = await collect_all(SnmpClient("127.0.0.1", access, timeout_seconds=60, attempts=1))
    assert trouble is None
    return reading


def encode(value: int | bytes) -> Encoded:
    if isinstance(value, bytes):
        return octets(value)
    return integer(value) if value < 0 else integer(value, COUNTER32)


RICOH, LEXMARK, SAMSUNG = "3.2.1.2.19.5.1", "6.4.2.1.1", "11.5.11.53.11.2.1"
KYOCERA, CANON, CANON_NAMES = "42.3.1.2.1.1", "1.11.1.3.1.4", "1.11.2.1.1"
TOSHIBA = "2.3.50.1.3.21.6.1"


def table(root: str, *rows: Mapping[int, int | bytes]) -> dict[str, int | bytes]:
    """Columns of rows that are counted from 1."""
    return {f"{root}.{column}.{row}": cell for row, cells in enumerate(rows, 1) for column, cell in cells.items()}


def of_device(root: str, *rows: Mapping[int, int | bytes]) -> dict[str, int | bytes]:
    return {f"{root}.{column}.1.{row}": cell for row, cells in enumerate(rows, 1) for column, cell in cells.items()}


CASES: list[tuple[str, int, Mapping[str, int | bytes], dict[str, int]]] = [
    (
        "HP",
        11,
        {f"2.3.9.4.2.1.4.1.2.{row}.0": count for row, count in ((5, 900), (7, 300), (22, 200))},
        {"color": 300, "mono": 600, "duplex": 200},
    ),
    (
        "Samsung: what is scanned or counted in hours is no page",
        236,
        of_device(
            SAMSUNG,
            {2: 1, 3: 5, 4: 8, 6: 3, 7: 500},
            {2: 2, 3: 5, 4: 8, 6: 3, 7: 50},
            {2: 1, 3: 5, 4: 7, 6: 1, 7: 70},
            {2: 1, 3: 2, 4: 7, 6: 2, 7: 7},
            {2: 5, 3: 1, 4: 8, 6: 3, 7: 9_000},
            {2: 1, 3: 1, 4: 11, 6: 3, 7: 8_000},
        ),
        {"mono": 550, "color": 77},
    ),
    (
        "Xerox",
        253,
        {f"8.53.13.2.1.6.1.20.{row}": row * 10 for row in (33, 34, 43, 44)},
        {"color": 330, "mono": 340, "color_large": 430, "mono_large": 440},
    ),
    (
        "Ricoh by what is counted, in whatever order",
        367,
        table(
            RICOH,
            {2: 10, 9: 1_000},
            {2: 403, 9: 100},
            {2: 201, 9: 30},
            {2: 401, 9: 400},
            {2: 202, 9: 2},
            {2: 301, 9: 5},
            {2: 870, 9: 77},
        ),
        {"mono": 435, "color": 102},
    ),
    (
        "Ricoh by name",
        367,
        table(
            RICOH,
            {5: b"Counter: Machine Total", 9: 1_000},
            {5: b"Counter:Copy:Black & White", 9: 30},
            {5: b"Counter:Print:Black & White", 9: 400},
            {5: b"Counter:Print:Single/Two-col.", 9: 4},
            {5: b"Counter:Print:Full Color", 9: 100},
        ),
        {"mono": 430, "color": 104},
    ),
    (
        "Lexmark: sides, and no sheets",
        641,
        of_device(
            LEXMARK,
            {2: 2, 3: 4, 4: 1_000},
            {2: 3, 3: 4, 4: 700},
            {2: 4, 3: 4, 4: 300},
            {2: 3, 3: 5, 4: 400},
        ),
        {"mono": 700, "color": 300},
    ),
    (
        "Toshiba",
        1129,
        {f"{TOSHIBA}.{row}": count for row, count in (("2.1.1", 90), ("2.1.2", 9), ("2.1.3", 400), ("207.1.3", 4))},
        {"mono": 400, "color": 99, "mono_large": 4},
    ),
    (
        "Epson",
        1248,
        {f"1.2.2.27.1.1.{row}.1.1": count for row, count in ((3, 40), (4, 60))},
        {"mono": 40, "color": 60},
    ),
    (
        "Kyocera",
        1347,
        {
            f"{KYOCERA}.{row}": count
            for row, count in (("1.1", 163_915), ("1.3", 140_424), ("2.1", 73_811), ("2.3", 42_443), ("4.1", 3_812))
        }
        | {"42.2.2.1.1.3.1.1": 1, "42.2.5.1.1.2.1": 50},
        {"mono": 241_538, "color": 182_867, "duplex": 50},
    ),
    (
        "Kyocera that only prints",
        1347,
        {"42.2.2.1.1.3.1.1": 70, "42.2.2.1.1.3.1.2": 30},
        {"mono": 70, "color": 30},
    ),
    (
        "Canon by number",
        1602,
        {f"{CANON}.{row}": count for row, count in ((101, 150), (108, 90), (112, 5), (113, 85), (122, 10), (123, 50))},
        {"mono": 90, "color": 60, "mono_large": 5, "color_large": 10},
    ),
    (
        "Canon by name",
        1602,
        table(
            CANON_NAMES,
            {2: b"Total 1", 3: 9_026},
            {2: "Total (Black 1)".encode("utf-16-le"), 3: 9_000},
            {2: b"Total (Full Color + Single Color/Small)", 3: 26},
            {2: b"Copy (Total 1)", 3: 5},
        ),
        {"mono": 9_000, "color": 26},
    ),
    ("OKI", 2001, {f"1.1.1.1.11.1.10.170.1.{row}.1": row for row in (6, 7)}, {"color": 6, "mono": 7}),
    ("Sharp", 2385, {f"1.1.19.2.1.3.5.4.{row}": row for row in (61, 63, 64)}, {"mono": 61, "color": 127}),
    (
        "Brother",
        2435,
        {
            "2.3.9.4.2.1.5.5.10.0": packed(
                (0x00, number(900)), (0x01, number(600)), (0x02, number(300)), (0x06, number(50))
            )
        },
        {"mono": 600, "color": 300, "duplex": 50},
    ),
    (
        "Konica Minolta",
        18334,
        {
            f"1.1.1.5.7.2.{row}": count
            for row, count in (
                ("2.1.5.1.1", 40),
                ("2.1.5.1.2", 60),
                ("2.1.5.2.1", 16),
                ("2.1.5.2.2", 84),
                ("1.3.0", 5),
            )
        },
        {"mono": 100, "color": 100, "duplex": 5},
    ),
]


@pytest.mark.parametrize(("maker", "told", "counts"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_pages_by_kind(maker: int, told: Mapping[str, int | bytes], counts: dict[str, int]) -> None:
    reading = await read(maker, told, MARKER_LIFE_COUNT=1_234)
    assert {one.kind: one.pages for one in reading.page_counts} == counts
    assert reading.pages == 1_234


TOTALS: list[tuple[int, str, int | bytes]] = [
    (11, "2.3.9.4.2.1.4.1.2.5.0", 77),
    (253, "8.53.13.2.1.6.1.20.1", 77),
    (367, "3.2.1.2.19.1.0", 77),
    (1347, "43.10.1.1.12.1.1", 77),
    (1602, "1.11.1.3.1.4.101", 77),
    (2435, "2.3.9.4.2.1.5.5.10.0", packed((0x00, number(77)))),
    (18334, "1.1.1.5.7.2.1.1.0", 77),
]


@pytest.mark.parametrize(("maker", "oid", "told"), TOTALS)
async def test_pages_in_all_where_no_marker_counts(maker: int, oid: str, told: int | bytes) -> None:
    assert ((found := await read(maker, {oid: told})).pages, found.pages_unit) == (77, "impressions")
    found = await read(maker, {oid: told}, MARKER_LIFE_COUNT=1_234, MARKER_UNIT=8)
    assert (found.pages, found.pages_unit) == (1_234, "sheets")
    assert (await read(maker, {oid: told}, MARKER_LIFE_COUNT=(1 << 32) - 1)).pages == 77


CARE = "2.3.9.4.2.1.5.5.8.0"
SOME_TONER: dict[str, int | bytes] = {
    "SUPPLY_DESCRIPTION": b"Black Toner Cartridge",
    "SUPPLY_TYPE": 3,
    "SUPPLY_LEVEL": -3,
    "SUPPLY_MAX_CAPACITY": -2,
}


@pytest.mark.parametrize(
    ("told", "level", "ratio", "state"),
    [
        (packed((0x63, number(1)), (0x6F, number(9_900))), 99, 0.99, Fill.OK),
        (packed((0x6F, number(550))), 6, 0.055, Fill.LOW),
        (packed((0xA1, b"\x05\x14")), 25, 0.25, Fill.OK),  # of older ones: 5 of 20
        (packed((0x6F, number(0))), 0, 0.0, Fill.EMPTY),
        (packed((0x6F, number(10_001))), None, None, Fill.SOME_LEFT),
        (packed((0xA1, b"\x05\x00")), None, None, Fill.SOME_LEFT),
        (packed((0x70, number(100))), None, None, Fill.SOME_LEFT),  # another colour
        (b"\x6f\x01\x04\x00", None, None, Fill.SOME_LEFT),
        (b"", None, None, Fill.SOME_LEFT),
    ],
)
async def test_brother_knows_more_than_that_there_is_some(
    told: bytes, level: int | None, ratio: float | None, state: Fill
) -> None:
    (supply,) = (await read(2435, {CARE: told}, **SOME_TONER)).supplies
    assert (supply.level, supply.ratio, supply.state) == (level, ratio, state)


async def test_the_standard_row_wins_where_it_tells_a_level() -> None:
    told = packed((0x6F, number(9_900)))
    (supply,) = (
        await read(2435, {CARE: told}, **SOME_TONER | {"SUPPLY_LEVEL": 40, "SUPPLY_MAX_CAPACITY": 100})
    ).supplies
    assert (supply.level, supply.ratio) == (40, 0.4)


@pytest.mark.parametrize(
    ("percent", "level", "state"),
    [(80, 80, Fill.OK), (-100, 0, Fill.EMPTY), (-3, None, Fill.SOME_LEFT)],
)
async def test_ricoh_names_its_toners(percent: int, level: int | None, state: Fill) -> None:
    """By their colour: its own rows count no waste bottle, and so are others than those of the standard."""
    told: dict[str, int | bytes] = {
        "3.2.1.2.24.1.1.3.1": b"Cyan Toner",
        "3.2.1.2.24.1.1.5.1": 10,
        "3.2.1.2.24.1.1.3.2": b"Black Toner",
        "3.2.1.2.24.1.1.5.2": percent,
    }
    (supply,) = (await read(367, told, **SOME_TONER)).supplies
    assert (supply.level, supply.state) == (level, state)


@given(
    st.sampled_from(sorted(MAKERS)),
    st.lists(st.tuples(st.integers(0, 60), st.one_of(st.binary(max_size=40), st.integers()), st.integers(0, 3))),
)
def test_whatever_they_tell_nothing_is_raised(maker: int, cells: list[tuple[int, bytes | int, int]]) -> None:
    known, rows = MAKERS[maker], Rows()
    objects = [*count_objects(known), *level_objects(known), *total_objects(known), *count_columns(known, rows)]
    rows.add(mibs.SYS_OBJECT_ID, (0,), f"{mibs.ENTERPRISES}.{maker}.1")
    for place, value, row in cells:
        rows.add(objects[place % len(objects)] if objects else mibs.SYS_DESCR, (row,) if row else (), value)
    for count in decode(rows).page_counts:
        assert count.pages >= 0


@given(st.binary(max_size=200))
def test_a_packed_list_of_any_bytes(value: bytes) -> None:
    assert all(isinstance(code, int) for code in unpack(value))


def test_every_object_belongs_to_its_maker() -> None:
    for number_, maker in MAKERS.items():
        objects = [*maker.serial, *maker.firmware, *total_objects(maker), *count_objects(maker)]
        objects += [*count_columns(maker, Rows()), *level_objects(maker)]
        assert all(parse_index(oid, f"{mibs.ENTERPRISES}.{number_}") for oid in objects)
