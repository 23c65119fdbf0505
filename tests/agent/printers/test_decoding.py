"""From rows to a reading, and from a reading to series."""

import contextlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.acceptance import accept
from agent.printers import mibs
from agent.printers.colors import color_in
from agent.printers.decoding import decode, decode_errors, find_device, find_marker, stable_label
from agent.printers.ipp_codec import decode_answer, encode_request
from agent.printers.ipp_decoding import decode_attributes
from agent.printers.merge import merge
from agent.printers.metrics import METRICS, state_samples, supply_labels, table_samples
from agent.printers.reading import Fill, Reading, Supply, to_json
from agent.printers.rows import Rows, Value
from agent.printers.text import MAX_TEXT_CHARS, decode_text
from agent.printers.vendors import maker_of
from agent.probes.base import Sample
from protocol.errors import QuarkpulseError

COLUMNS = sorted(value for name, value in vars(mibs).items() if name.isupper() and str(value).startswith("1.3.6.1.2"))


def rows_of(**columns: Mapping[int, Value]) -> Rows:
    """Columns by their names in `mibs`, of the device 1; a scalar has the row 0."""
    rows = Rows()
    for name, cells in columns.items():
        for row, value in cells.items():
            is_scalar = name.startswith("SYS_")
            is_of_device = name.startswith(("HR_", "GENERAL_", "CHARACTER"))
            rows.add(getattr(mibs, name), (0,) if is_scalar else (row,) if is_of_device else (1, row), value)
    return rows


@pytest.mark.parametrize(
    ("value", "charset", "text"),
    [
        (b"Black Toner", None, "Black Toner"),
        (b"Black Toner\x00\x00\x00", None, "Black Toner"),
        (b"Toner\x00rubbish", None, "Toner"),
        ("Cartouche jaune épuisée".encode(), None, "Cartouche jaune épuisée"),
        ("Schwärzlich".encode("latin-1"), None, "Schwärzlich"),
        ("€ 5".encode("cp1252"), None, "€ 5"),
        ("Zwarte toner".encode("utf-16"), None, "Zwarte toner"),
        ("Zwarte toner".encode("utf-16-le"), None, "Zwarte toner"),
        ("Zwarte toner".encode("utf-16-be") + b"\x00\x00", None, "Zwarte toner"),
        ("Ton".encode("utf-16-le"), None, "Ton"),
        (b"\xef\xbb\xbfToner", None, "Toner"),
        ("Тонер".encode("iso8859-5"), "iso8859-5", "Тонер"),
        ("ブラック".encode("shift_jis"), "shift_jis", "ブラック"),
        (b"Toner", "utf-16-be", "Toner"),  # what it says of itself is wrong
        ("Größe".encode("latin-1"), "utf-16-be", "Größe"),
        ("ブラック".encode("utf-16-be"), "utf-16-be", "ブラック"),
        (b"\tBlack\r\nToner\x07 ", None, "Black  Toner"),
        (b"\xff\xfe", None, ""),
        (b"", None, ""),
        (b"\x00" * 255, None, ""),
        (b"x" * 5_000, None, "x" * MAX_TEXT_CHARS),
    ],
)
def test_texts_of_any_encoding(value: bytes, charset: str | None, text: str) -> None:
    assert decode_text(value, charset) == text


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("HP 72 Gray Ink", "gray"),
        ("Light grey", "light gray"),
        ("Rouge", "red"),
        ("Green ink", "green"),
        ("Blau", "blue"),
        ("White Toner", "white"),
        ("Orange", "orange"),
        ("PBK", "photo black"),
        ("MBK ink tank", "matte black"),
        ("BLK", "black"),
        ("Photoblack", "photo black"),
        ("Photo Black", "photo black"),
        ("K", None),
        ("C", None),
        ("Toner [C]", "cyan"),
        ("Toner (K)", "black"),
        ("Toner (C)(M)(Y)", None),
        ("Black/Red", None),
    ],
)
def test_a_colour_is_named_in_words(text: str, color: str | None) -> None:
    assert color_in(text) == color


def test_texts_are_in_the_character_set_of_the_language_that_is_spoken() -> None:
    rows = rows_of(SUPPLY_DESCRIPTION={1: b"Schw\xe4rzlich"}, SUPPLY_LEVEL={1: 5})
    for language, number in ((1, 17), (2, 4)):  # Japanese comes first
        rows.add(mibs.CHARACTER_SET, (1, language), number)
    rows.add(mibs.GENERAL_LOCALIZATION, (1,), 2)
    assert decode(rows).supplies[0].description == "Schwärzlich"


@given(st.binary(max_size=300), st.sampled_from([None, *mibs.CHARSETS.values()]))
def test_any_octets_are_a_text_that_can_be_shown(value: bytes, charset: str | None) -> None:
    text = decode_text(value, charset)
    assert text.isprintable()
    assert len(text) <= MAX_TEXT_CHARS
    text.encode()


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (b"", ()),
        (b"\x00", ()),
        (b"\x80", ("lowPaper",)),
        (b"\x01\x00", ("serviceRequested",)),
        (b"\x24\x02", ("lowToner", "jammed", "overduePreventMaint")),
        (b"\xff\xff\xff\xff", mibs.ERROR_STATES),
        (None, None),
        (0, None),
    ],
)
def test_error_bits(value: Value, names: tuple[str, ...] | None) -> None:
    assert decode_errors(value) == names


def supply(level: int, capacity: int, **more: Value) -> Supply:
    cells = {name: {1: value} for name, value in more.items()}
    rows = rows_of(SUPPLY_LEVEL={1: level}, SUPPLY_MAX_CAPACITY={1: capacity}, **cells)
    (found,) = decode(rows).supplies
    return found


@pytest.mark.parametrize(
    ("level", "capacity", "told"),
    [
        (50, 100, (50, 100, 0.5, Fill.OK)),
        (10, 100, (10, 100, 0.1, Fill.LOW)),
        (0, 100, (0, 100, 0.0, Fill.EMPTY)),
        (0, -2, (0, None, None, Fill.EMPTY)),
        (150, 100, (150, 100, 1.0, Fill.OK)),
        (9, -2, (9, None, None, Fill.OK)),
        (9, 0, (9, 0, None, Fill.OK)),
        (0, 0, (0, 0, None, Fill.UNKNOWN)),  # a place without a cartridge: there is nothing to order
        (-1, -1, (None, None, None, Fill.UNRESTRICTED)),
        (-2, 100, (None, 100, None, Fill.UNKNOWN)),
        (-3, -2, (None, None, None, Fill.SOME_LEFT)),
        (-100, 100, (None, 100, None, Fill.UNKNOWN)),
        (4294967293, 100, (None, 100, None, Fill.SOME_LEFT)),  # sent unsigned
        (4294967294, 100, (None, 100, None, Fill.UNKNOWN)),
        (4294967295, 4294967294, (None, None, None, Fill.UNRESTRICTED)),
        (9, 4294967294, (9, None, None, Fill.OK)),
    ],
)
def test_levels_and_special_values(level: int, capacity: int, told: tuple[object, ...]) -> None:
    found = supply(level, capacity, SUPPLY_TYPE=3)
    assert (found.level, found.max_capacity, found.ratio, found.state) == told


def test_a_percentage_without_a_capacity_is_a_series_and_no_ratio() -> None:
    found = supply(40, -2, SUPPLY_TYPE=3, SUPPLY_UNIT=19)
    assert (found.level, found.max_capacity, found.ratio, found.state) == (40, None, None, Fill.OK)
    told = {one.name: one.value for one in table_samples(Reading(supplies=(found,)))}
    assert told["printer_supply_level_ratio"] == 0.4
    assert supply(9, -2, SUPPLY_UNIT=19).state is Fill.LOW
    assert supply(9, -2, SUPPLY_UNIT=19, SUPPLY_CLASS=4).state is Fill.UNKNOWN
    above = table_samples(Reading(supplies=(supply(163, -2, SUPPLY_UNIT=19),)))
    assert [one.name for one in above] == ["printer_supply_empty", "printer_supply_low"]


@pytest.mark.parametrize(
    "more",
    [{"SUPPLY_TYPE": 4}, {"SUPPLY_CLASS": 4, "SUPPLY_TYPE": 1}, {"SUPPLY_DESCRIPTION": b"Waste Toner Container, PN 1"}],
)
@pytest.mark.parametrize("level", [0, 5])
def test_a_waste_box_is_not_called_full_or_empty_by_its_level(more: dict[str, Value], level: int) -> None:
    found = supply(level, 100, **more)
    assert (found.level, found.state) == (level, Fill.UNKNOWN)
    names = {one.name for one in table_samples(Reading(supplies=(found,)))}
    assert names == {"printer_supply_level_ratio"}


def alert_rows(*alerts: tuple[int, int, int, int, bytes]) -> Rows:
    """Severity, group, index in the group, code, description."""
    names = ("ALERT_SEVERITY", "ALERT_GROUP", "ALERT_GROUP_INDEX", "ALERT_CODE", "ALERT_DESCRIPTION")
    cells: dict[str, dict[int, Value]] = {name: {} for name in names}
    for row, alert in enumerate(alerts, start=231):
        for name, value in zip(names, alert, strict=True):
            cells[name][row] = value
    return rows_of(**cells)


def test_only_what_stands_is_an_alert_and_a_condition_is_one_whatever_its_row() -> None:
    """Rows as a plotter really sends them, and as the standard means them."""
    reading = decode(
        alert_rows(
            (1, 5, -1, 1, b"Wrong file format. The printer cannot process the job."),
            (1, 5, -1, 2, b"Ready"),
            (1, 5, -1, 2, b"deleted"),
            (4, 5, -1, 501, b"Lower lever"),
            (3, 8, 2, 808, b"Tray 2 empty"),
            (3, 8, 2, 808, b"Tray 2 empty"),
            (5, 8, 3, 807, b"Tray 3 low"),
        )
    )
    assert len(reading.alerts) == 6
    assert [sample.labels for sample in table_samples(reading)] == [
        {"printer_alert_group": "input", "printer_alert_index": "2", "printer_alert_code": "inputMediaSupplyEmpty"},
        {"printer_alert_group": "input", "printer_alert_index": "3", "printer_alert_code": "inputMediaSupplyLow"},
    ]


@pytest.mark.parametrize(
    ("alert", "state"),
    [
        ((3, 11, 1, 1109, b"Waste toner full"), Fill.EMPTY),
        ((5, 11, 1, 1107, b"Waste toner almost full"), Fill.LOW),
        ((5, 11, 1, 14, b""), Fill.LOW),
        ((5, 11, 2, 1107, b"that of another"), Fill.UNKNOWN),
        ((4, 11, 1, 1107, b"an event"), Fill.UNKNOWN),
    ],
)
def test_an_alert_says_what_a_level_cannot(alert: tuple[int, int, int, int, bytes], state: Fill) -> None:
    rows = rows_of(SUPPLY_TYPE={1: 4}, SUPPLY_LEVEL={1: 0}, SUPPLY_MAX_CAPACITY={1: 100})
    rows.update(alert_rows(alert))
    assert decode(rows).supplies[0].state is state


@pytest.mark.parametrize("level", [-2, -3])
def test_a_supply_without_a_level_is_low_while_an_alert_says_so(level: int) -> None:
    rows = rows_of(SUPPLY_TYPE={1: 3, 2: 3}, SUPPLY_LEVEL={1: level, 2: 50}, SUPPLY_MAX_CAPACITY={1: -2, 2: 100})
    for alerts, low in ((alert_rows((5, 11, 1, 1104, b"Toner low")), 1), (Rows(), 0)):
        told = Rows()
        told.update(rows)
        told.update(alerts)
        samples = [one for one in table_samples(decode(told)) if one.name == "printer_supply_low"]
        assert [(one.labels["printer_supply_index"], one.value) for one in samples] == [("1", low)]


def test_empty_is_worse_than_an_alert_of_almost_empty() -> None:
    rows = rows_of(SUPPLY_TYPE={1: 3}, SUPPLY_LEVEL={1: 0}, SUPPLY_MAX_CAPACITY={1: 100})
    rows.update(alert_rows((5, 11, 1, 1104, b"Toner low")))
    assert decode(rows).supplies[0].state is Fill.EMPTY


@pytest.mark.parametrize("placeholder", [b"N/A", b"none", b"0000000000", b"XXXXXXXXXX", b"Unknown", b"----"])
def test_a_placeholder_hides_no_serial_number(placeholder: bytes) -> None:
    rows = rows_of(GENERAL_SERIAL={1: placeholder})
    assert decode(rows).serial == placeholder.decode()
    rows.update(rows_of(SYS_DESCR={0: b"HP ETHERNET,SN:VNB3J99999,PID:HP LaserJet"}))
    assert decode(rows).serial == "VNB3J99999"
    rows.update(rows_of(SYS_OBJECT_ID={0: "1.3.6.1.4.1.11.2.3.9.1"}))
    rows.add(maker_of("1.3.6.1.4.1.11.1").serial[0], (), b"CNB1234567")
    assert decode(rows).serial == "CNB1234567"
    rows.update(rows_of(GENERAL_SERIAL={1: b"0505571100"}))
    assert decode(rows).serial == "0505571100"


def test_colours_come_from_colorants_or_descriptions() -> None:
    rows = rows_of(
        SUPPLY_DESCRIPTION={1: b"Cartridge 7", 2: b"Gele toner (geel)", 3: b"Tri-colour cyan magenta", 4: b"Toner"},
        SUPPLY_TYPE={1: 3, 2: 3, 3: 6, 4: 3},
        SUPPLY_COLORANT={1: 2, 2: 0, 4: 9},
        COLORANT_VALUE={1: b"black", 2: b"Cyan"},
    )
    assert [one.color for one in decode(rows).supplies] == ["cyan", "yellow", None, None]


def test_what_its_type_does_not_say_its_description_may() -> None:
    descriptions = [
        b"Drum Cartridge (R1)",
        b"Fuser",
        b"Transfer Belt Cleaner",
        b"Black Toner",
        b"Waste Ink Pad",
        b"Thing",
    ]
    cells = dict.fromkeys(range(1, 7), 50)
    rows = rows_of(
        SUPPLY_DESCRIPTION=dict(enumerate(descriptions, start=1)), SUPPLY_LEVEL=cells, SUPPLY_MAX_CAPACITY=cells
    )
    reading = decode(rows)
    assert [one.type for one in reading.supplies] == [None] * 6
    levels = [one.labels for one in table_samples(reading) if one.name == "printer_supply_level_ratio"]
    kinds = ["opc", "fuser", "transferUnit", "toner", "wasteInk", "unknown"]
    assert [labels["printer_supply_type"] for labels in levels] == kinds


@pytest.mark.parametrize(
    ("description", "kind"),
    [
        ("Wastetoner", "wasteToner"),
        ("Resttonerbehälter", "wasteToner"),
        ("Abfallbehälter", "wasteToner"),
        ("Vaschetta recupero toner", "wasteToner"),
        ("Recup. toner", "wasteToner"),
        ("Contenedor de toner residual", "wasteToner"),
        ("Used Toner Container", "wasteToner"),
        ("Maintenance Box", "wasteInk"),
        ("Waste Ink Pad", "wasteInk"),
        ("Maintenance Kit", "part"),
        ("Roller Kit", "part"),
        ("ADF Roller", "part"),
        ("Tray 1 Retard Roller Life", "part"),
        ("Feed Kit", "part"),
        ("Belt Unit", "part"),
        ("Separation Pad", "part"),
        ("Transfer Roller", "transferUnit"),
        ("Toner Kit", "toner"),
        ("Ink Cartridge", "ink"),
    ],
)
def test_waste_and_parts_of_type_other_are_not_for_ordering(description: str, kind: str) -> None:
    found = supply(50, 100, SUPPLY_TYPE=1, SUPPLY_DESCRIPTION=description.encode())
    assert (found.type, supply_labels(found)["printer_supply_type"]) == ("other", kind)
    assert found.is_receptacle is kind.startswith("waste")


def test_a_waste_box_without_a_type_is_one_by_ipp_too() -> None:
    (found,) = decode_attributes(
        {"marker-names": [b"Abfallbeh\xc3\xa4lter"], "marker-types": [b"other"], "marker-levels": [0]}
    ).supplies
    assert (found.is_receptacle, found.ratio, supply_labels(found)["printer_supply_type"]) == (True, 1.0, "wasteToner")


def test_what_is_filled_is_waste_whatever_its_type() -> None:
    found = supply(50, 100, SUPPLY_TYPE=3, SUPPLY_CLASS=4, SUPPLY_DESCRIPTION=b"Toner Collector")
    assert (found.type, supply_labels(found)["printer_supply_type"]) == ("toner", "wasteToner")


@pytest.mark.parametrize(
    ("description", "label"),
    [
        ("Black Toner Cartridge S/N:CRUM-123", "Black Toner Cartridge"),
        ("Fuser S/N:", "Fuser"),
        ("Black Toner, PN 006R01509;SN48178080E0000481", "Black Toner, PN 006R01509"),
        ("Fuser, PN unknown;SNunknown", "Fuser, PN unknown"),
        ("Toner, snowy", "Toner, snowy"),
        ("S/N:1234", "S/N:1234"),
    ],
)
def test_a_new_cartridge_is_the_same_series(description: str, label: str) -> None:
    assert stable_label(description) == label


def test_a_condition_that_stands_outweighs_one_of_the_same_that_happened() -> None:
    for rows in ([(4, 8, 2, 808, b""), (3, 8, 2, 808, b"")], [(3, 8, 2, 808, b""), (4, 8, 2, 808, b"")]):
        assert [one.severity for one in decode(alert_rows(*rows)).alerts] == ["critical"]


def test_covers_of_one_name_are_told_apart() -> None:
    rows = rows_of(COVER_STATUS={1: 3, 2: 4, 3: 1}, COVER_DESCRIPTION={1: b"Door", 2: b"Door"})
    told = [(one.labels["printer_cover"], one.value) for one in table_samples(decode(rows))]
    assert told == [("Door (1)", 1), ("Door (2)", 0)]


def test_trays_of_one_name_are_told_apart() -> None:
    cells = dict.fromkeys(range(1, 4), 10)
    rows = rows_of(INPUT_LEVEL=cells, INPUT_MAX_CAPACITY=cells, INPUT_NAME={1: b"Tray", 2: b"Tray"})
    names = [sample.labels["printer_tray"] for sample in table_samples(decode(rows))]
    assert names == ["Tray (1)", "Tray (2)", "3"]


@pytest.mark.parametrize(
    ("device_status", "printer_status", "errors", "asleep"),
    [(2, 1, b"\x00", True), (2, 3, b"\x00", False), (5, 1, b"\x04", False), (2, 1, b"\x80", False)],
)
def test_stand_by(device_status: int, printer_status: int, errors: bytes, asleep: bool) -> None:
    states = {"HR_DEVICE_STATUS": device_status, "HR_PRINTER_STATUS": printer_status, "HR_PRINTER_ERRORS": errors}
    assert decode(rows_of(**{name: {1: value} for name, value in states.items()})).is_asleep is asleep


def test_the_printer_need_not_be_the_first_device() -> None:
    rows = Rows()
    for index, kind in ((1, "1.3.6.1.2.1.25.3.1.4"), (3, mibs.HR_DEVICE_PRINTER)):
        rows.add(mibs.HR_DEVICE_TYPE, (index,), kind)
        rows.add(mibs.HR_DEVICE_DESCR, (index,), f"device {index}".encode())
    rows.add(mibs.SUPPLY_LEVEL, (3, 1), 50)
    assert find_device(rows) == (3,)
    reading = decode(rows)
    assert (reading.model, [one.index for one in reading.supplies]) == ("device 3", ["1"])


@pytest.mark.parametrize(
    ("unit", "pages"), [(None, 1234), (0, 1234), (1, 1234), (2, 1234), (7, 1234), (8, 1234), (11, 7), (16, 7)]
)
def test_pages_are_what_the_first_marker_counts_that_counts_pages(unit: int | None, pages: int) -> None:
    rows = rows_of(MARKER_LIFE_COUNT={1: 1234, 2: 7}, SYS_UPTIME={0: 100})
    if unit is not None:
        rows.update(rows_of(MARKER_UNIT={1: unit, 2: 7}))
    reading = decode(rows)
    assert to_json(reading)["pages"] == pages
    assert Sample("printer_pages_total", pages) in list(state_samples(reading))
    assert find_marker(rows)[-1] == (1 if pages == 1234 else 2)  # the one that every round asks


@pytest.mark.parametrize("unit", [11, 16])  # hours of an engine, feet of labels
def test_what_counts_no_pages_is_told_as_none(unit: int) -> None:
    reading = decode(rows_of(MARKER_LIFE_COUNT={1: 1234}, MARKER_UNIT={1: unit}))
    assert (to_json(reading)["pages"], reading.pages, list(state_samples(reading))) == (None, 1234, [])


@pytest.mark.parametrize("column", ["MARKER_LIFE_COUNT", "INPUT_LEVEL", "ALERT_SEVERITY"])
def test_a_printer_is_where_it_has_rows(column: str) -> None:
    rows = rows_of(HR_DEVICE_DESCR={1: b"A network card", 3: b"A printer"})
    rows.add(getattr(mibs, column), (3, 1), 4)
    assert decode(rows).model == "A printer"


@pytest.mark.parametrize(
    ("description", "model"),
    [
        (
            b"HP ETHERNET MULTI-ENVIRONMENT,SN:VNB3J99999,PID:HP Color LaserJet Pro M252dw",
            "HP Color LaserJet Pro M252dw",
        ),
        (b"HP ETHERNET,PID:HP LaserJet 400,FN:1", "HP LaserJet 400"),
        (b"RICOH Aficio MP C3002 2.20 / RICOH Network Printer C model", "RICOH Aficio MP C3002 2.20"),
        (b"Samsung M4080FX; V11.01.03.04_02-27-2017;Engine V1.00.06", "Samsung M4080FX"),
        (b"Canon TM-5300 /P", "Canon TM-5300 /P"),
        (b";", ";"),
        (b"", None),
    ],
)
def test_without_a_device_a_model_is_found_in_the_description(description: bytes, model: str | None) -> None:
    assert decode(rows_of(SYS_DESCR={0: description})).model == model


VALUES = st.one_of(
    st.none(), st.integers(-(2**64), 2**64), st.binary(max_size=60), st.text(max_size=20), st.floats(), st.booleans()
)


@given(
    st.lists(
        st.tuples(st.sampled_from(COLUMNS), st.lists(st.integers(0, 3), max_size=3).map(tuple), VALUES), max_size=60
    )
)
def test_whatever_a_printer_says_is_decoded_and_can_be_sent(cells: list[tuple[str, tuple[int, ...], Value]]) -> None:
    rows = Rows()
    for column, index, value in cells:
        rows.add(column, index, value)
    reading = decode(rows)
    to_json(reading)
    samples = [*state_samples(reading), *table_samples(reading)]
    accept(samples)
    declared = {metric.name: set(metric.labels) for metric in METRICS}
    assert all(set(sample.labels) == declared[sample.name] for sample in samples)
    amounts = [(one.level, one.ratio) for one in reading.supplies] + [(one.level, one.ratio) for one in reading.trays]
    assert all(level is None or level >= 0 for level, _ in amounts)
    assert all(ratio is None or 0 <= ratio <= 1 for _, ratio in amounts)
    assert merge(reading, reading) == reading


@given(st.binary(max_size=400))
def test_whatever_comes_by_ipp_is_decoded_or_refused(content: bytes) -> None:
    try:
        answer = decode_answer(b"\x02\x00\x00\x00\x00\x00\x00\x01" + content)
    except QuarkpulseError:
        return
    reading = decode_attributes(answer.printer)
    accept([*state_samples(reading), *table_samples(reading)])


@given(st.integers(8, 200), st.integers(0, 255))
def test_one_wrong_octet_in_an_ipp_answer_does_no_harm(at: int, octet: int) -> None:
    content = bytearray(encode_request("ipp://printer/ipp/print", ["printer-state", "marker-levels"]))
    content[8] = 4  # as if these were a printer's attributes
    content[at % len(content)] = octet
    with contextlib.suppress(QuarkpulseError):
        decode_attributes(decode_answer(bytes(content)).printer)
