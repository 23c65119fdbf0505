"""One printer over time: what it is asked when, and what is told of it. The clock is a number."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from agent.printers import mibs, vendors
from agent.printers.errors import AccessRefused, NoAnswer
from agent.printers.ipp_codec import Attributes
from agent.printers.own_objects import total_objects
from agent.printers.polling import PrinterPoll
from agent.printers.snmp import SnmpClient
from agent.printers.telling import Line, Teller
from bench._snmp_device import (
    COUNTER32,
    GET,
    Device,
    Encoded,
    Objects,
    Request,
    integer,
    load_recording,
    octets,
    parse_oid,
)
from protocol.wire import SnmpVersion
from tests.agent.printers.heard import Heard
from tests.agent.printers.snmpsim import RECORDINGS

MINUTES = 60.0
INTERVAL = 5 * MINUTES
HOUR = 60 * MINUTES
DAY = 24 * HOUR


class Printer:
    """Answers, or not; what it says can be changed."""

    def __init__(self) -> None:
        self.objects = Objects(load_recording(RECORDINGS / "jetdirect_m252dw.snmprec"))
        self.is_on = True
        self.silent = ""  # the column that it does not answer
        self.set("HR_PRINTER_STATUS", integer(3))
        self.set("GENERAL_ALL_EVENTS", integer(7, COUNTER32))
        self.set("MARKER_LIFE_COUNT", integer(1_000, COUNTER32), 1, 1)

    def set(self, name: str, value: Encoded, *index: int) -> None:
        self.objects = Objects(self.objects.values | {(*parse_oid(getattr(mibs, name)), *(index or (1,))): value})

    def drop(self, name: str, *index: int) -> None:
        gone = (*parse_oid(getattr(mibs, name)), *(index or (1,)))
        self.objects = Objects({oid: value for oid, value in self.objects.values.items() if oid != gone})

    def alert(self, row: int, severity: int, code: int, description: bytes = b"") -> None:
        cells = {"ALERT_SEVERITY": severity, "ALERT_GROUP": 11, "ALERT_GROUP_INDEX": 1, "ALERT_CODE": code}
        for name, cell in cells.items():
            self.set(name, integer(cell), 1, row)
        self.set("ALERT_DESCRIPTION", octets(description), 1, row)

    def answer(self, request: Request) -> list[bytes]:
        silent = parse_oid(self.silent) if self.silent else None
        is_silent = silent is not None and request.objects[0][: len(silent)] == silent
        return [self.objects.answer(request)] if self.is_on and not is_silent else []


class Followed:
    """A printer, what is known of it, and what is said of it."""

    def __init__(
        self,
        printer: Printer,
        device: Device,
        ipp: dict[str, Any] | None = None,
        version: SnmpVersion = SnmpVersion.V2C,
    ) -> None:
        self.printer = printer
        self.ipp = ipp
        self.asked_by_ipp = 0
        self._version = version
        self._device = device
        self.poll = PrinterPoll(self._connect, None if ipp is None else self._ask_ipp)
        self.teller = Teller("prn-1", INTERVAL)
        self._series: list[tuple[str, dict[str, str]]] = []

    async def _connect(self, repetitions: int | None) -> SnmpClient:
        return Heard(self._device, self._version, repetitions=repetitions)

    async def _ask_ipp(self) -> Attributes:
        self.asked_by_ipp += 1
        if not self.ipp:
            raise NoAnswer("is off")
        return {name: list(values) for name, values in self.ipp.items()}

    async def at(self, now: float) -> Line:
        self._device.requests.clear()
        async with asyncio.timeout(60):
            await self.poll.poll(now)
        line = self.teller.tell(self.poll, now)
        if not isinstance(line["layout"], str):
            self._series = [(one["name"], one["labels"]) for one in line["layout"]["series"]]
        return line

    @property
    def requests(self) -> list[Request]:
        return self._device.requests

    def value(self, line: Line, name: str, **labels: str) -> float | None:
        (at,) = [at for at, (n, ls) in enumerate(self._series) if n == name and labels.items() <= ls.items()]
        return line["v"][at]

    def has(self, name: str) -> bool:
        return any(one == name for one, _ in self._series)


@pytest.fixture
def followed() -> Iterator[Followed]:
    printer = Printer()
    with Device(printer.answer) as device:
        yield Followed(printer, device)


async def test_a_round_is_one_small_question_and_tables_are_read_hourly(followed: Followed) -> None:
    first = await followed.at(0)
    assert len(followed.requests) > 10
    assert [event["type"] for event in first["events"]] == ["printer_seen"]
    for minutes in range(5, 60, 5):
        line = await followed.at(minutes * MINUTES)
        assert [request.kind for request in followed.requests] == [GET]
        assert isinstance(line["layout"], str)  # told before
        assert line["events"] == []
    followed.printer.set("SUPPLY_LEVEL", integer(62), 1, 1)
    line = await followed.at(HOUR)
    assert len(followed.requests) > 10
    assert followed.value(line, "printer_supply_level_ratio", printer_supply_index="1") == 0.62


async def test_what_it_is_is_asked_daily_and_said_when_it_changes(followed: Followed) -> None:
    await followed.at(0)
    followed.printer.set("HR_DEVICE_DESCR", octets(b"Another model"))
    assert (await followed.at(DAY - INTERVAL))["events"] == []
    (event,) = (await followed.at(DAY))["events"]
    assert (event["type"], event["device_id"], event["model"]) == ("printer_seen", "prn-1", "Another model")


async def test_supplies_and_alerts_are_read_when_something_happened(followed: Followed) -> None:
    await followed.at(0)
    followed.printer.set("SUPPLY_LEVEL", integer(0), 1, 1)
    followed.printer.alert(1, severity=3, code=1101)
    followed.printer.set("GENERAL_ALL_EVENTS", integer(8, COUNTER32))
    line = await followed.at(INTERVAL)
    assert followed.value(line, "printer_supply_empty", printer_supply_index="1") == 1
    assert followed.value(line, "printer_alert", printer_alert_code="markerTonerEmpty") == 1
    followed.printer.set("SUPPLY_LEVEL", integer(100), 1, 1)
    followed.printer.alert(1, severity=1, code=2)
    followed.printer.set("GENERAL_ALL_EVENTS", integer(9, COUNTER32))
    line = await followed.at(2 * INTERVAL)
    assert followed.value(line, "printer_supply_empty", printer_supply_index="1") == 0
    assert not followed.has("printer_alert")


async def test_a_unary_alert_happens_once_and_those_that_were_there_are_history(followed: Followed) -> None:
    followed.printer.alert(1, severity=4, code=507, description=b"of last year")
    assert [one["type"] for one in (await followed.at(0))["events"]] == ["printer_seen"]
    followed.printer.alert(2, severity=4, code=8, description=b"jam, cleared")
    followed.printer.set("GENERAL_ALL_EVENTS", integer(8, COUNTER32))
    (event,) = (await followed.at(INTERVAL))["events"]
    assert (event["type"], event["group"], event["code"], event["description"]) == (
        "printer_alert",
        "markerSupplies",
        "jam",
        "jam, cleared",
    )
    assert not followed.has("printer_alert")
    followed.printer.set("GENERAL_ALL_EVENTS", integer(9, COUNTER32))
    assert (await followed.at(2 * INTERVAL))["events"] == []


async def test_one_that_sleeps_is_not_woken_and_what_is_known_of_it_stays_true(followed: Followed) -> None:
    await followed.at(0)
    followed.printer.set("HR_PRINTER_STATUS", integer(1))
    for round_ in range(1, 13 * 12, 12):
        line = await followed.at(round_ * INTERVAL)
        assert [request.kind for request in followed.requests] == [GET]
    assert followed.value(line, "printer_asleep") == 1
    assert followed.value(line, "printer_reachable") == 1
    assert followed.value(line, "printer_supply_level_ratio", printer_supply_index="1") == 0.63
    followed.printer.set("HR_PRINTER_STATUS", integer(4))
    await followed.at(14 * HOUR)
    assert len(followed.requests) > 10


async def test_one_that_is_switched_off_is_unreachable_and_then_unknown(followed: Followed) -> None:
    await followed.at(0)
    followed.printer.is_on = False
    line = await followed.at(INTERVAL)
    assert len(followed.requests) == 1
    assert followed.poll.trouble.startswith("SNMP: no answer")
    assert (followed.value(line, "printer_reachable"), followed.value(line, "printer_pages_total")) == (0, 1_000)
    line = await followed.at(3 * INTERVAL)
    assert (followed.value(line, "printer_reachable"), followed.value(line, "printer_pages_total")) == (0, None)
    assert followed.value(line, "printer_supply_level_ratio", printer_supply_index="1") == 0.63
    line = await followed.at(3 * HOUR)
    assert followed.value(line, "printer_supply_level_ratio", printer_supply_index="1") is None
    followed.printer.is_on = True
    line = await followed.at(3 * HOUR + INTERVAL)
    assert (followed.value(line, "printer_reachable"), followed.value(line, "printer_pages_total")) == (1, 1_000)
    assert followed.value(line, "printer_supply_level_ratio", printer_supply_index="1") == 0.63


async def test_one_that_was_never_there_has_one_series(followed: Followed) -> None:
    followed.printer.is_on = False
    line = await followed.at(0)
    assert (followed._series, line["v"], line["events"]) == ([("printer_reachable", {})], [0], [])


async def test_a_counter_that_goes_back_is_told_as_it_is(followed: Followed) -> None:
    assert followed.value(await followed.at(0), "printer_pages_total") == 1_000
    followed.printer.set("MARKER_LIFE_COUNT", integer(3, COUNTER32), 1, 1)
    followed.printer.set("GENERAL_ALL_EVENTS", integer(1, COUNTER32))
    assert followed.value(await followed.at(INTERVAL), "printer_pages_total") == 3


async def test_ipp_answers_for_a_silent_snmp_and_no_series_changes() -> None:
    printer = Printer()
    ipp: dict[str, Any] = {
        "printer-state": [5],
        "printer-state-reasons": [b"media-jam-error"],
        "printer-impressions-completed": [7],
        "queued-job-count": [2],
        "marker-names": [b"Black"],
        "marker-types": [b"toner"],
        "marker-levels": [1],
    }
    with Device(printer.answer) as device:
        followed = Followed(printer, device, ipp)
        line = await followed.at(0)
        series = [one for one in followed._series if one[0] != "printer_alert"]  # it stands only while it is told
        assert followed.value(line, "printer_pages_total") == 1_000
        assert followed.value(line, "printer_queued_jobs") == 2
        assert followed.value(line, "printer_supply_level_ratio", printer_supply_index="1") == 0.63
        printer.is_on = False
        line = await followed.at(INTERVAL)
        assert followed.value(line, "printer_reachable") == 1
        assert followed.value(line, "printer_error", printer_error="jammed") == 1
        assert followed.value(line, "printer_supply_level_ratio", printer_supply_index="1") == 0.63
        assert followed.value(line, "printer_pages_total") == 1_000  # its own counter is another one
        assert followed.value(await followed.at(3 * INTERVAL), "printer_pages_total") is None
        printer.is_on = True
        line = await followed.at(4 * INTERVAL)
        assert followed.value(line, "printer_pages_total") == 1_000
        assert [one for one in followed._series if one[0] != "printer_alert"] == series


async def test_half_a_table_of_supplies_is_not_told(followed: Followed) -> None:
    followed.printer.silent = mibs.SUPPLY_DESCRIPTION
    await followed.at(0)
    assert not followed.has("printer_supply_level_ratio")
    followed.printer.silent = ""
    line = await followed.at(INTERVAL)
    assert followed.value(line, "printer_supply_level_ratio", printer_supply_type="toner", printer_supply_index="1")
    series = list(followed._series)
    followed.printer.silent = mibs.SUPPLY_DESCRIPTION
    followed.printer.set("SUPPLY_LEVEL", integer(1), 1, 1)
    line = await followed.at(2 * HOUR)
    assert followed.value(line, "printer_supply_level_ratio", printer_supply_index="1") == 0.63
    assert followed._series == series


async def test_what_it_is_stays_known_while_it_does_not_say_and_is_asked_again_soon(followed: Followed) -> None:
    await followed.at(0)
    followed.printer.silent = mibs.HR_DEVICE_DESCR
    line = await followed.at(DAY)
    assert (followed.poll.reading.model, line["events"]) == ("HP Color LaserJet Pro M252dw", [])
    followed.printer.silent = ""
    followed.printer.set("HR_DEVICE_DESCR", octets(b"Another model"))
    (event,) = (await followed.at(DAY + HOUR))["events"]
    assert event["model"] == "Another model"


async def test_what_ipp_calls_wrong_stands_until_it_is_asked_again_and_does_not_outweigh_snmp() -> None:
    printer = Printer()
    ipp: dict[str, Any] = {"printer-state": [5], "printer-state-reasons": [b"media-jam-error", b"power-saver"]}
    with Device(printer.answer) as device:
        followed = Followed(printer, device, ipp)
        line = await followed.at(0)
        assert followed.value(line, "printer_error", printer_error="jammed") == 0
        assert followed.has("printer_alert")  # SNMP tells no alerts
        line = await followed.at(INTERVAL)
        assert followed.value(line, "printer_error", printer_error="jammed") == 0
        assert followed.value(line, "printer_asleep") == 0
        assert (
            followed.value(line, "printer_alert", printer_alert_code="jam") == 1
        )  # rules wait for longer than a round
        ipp["printer-state-reasons"] = [b"none"]
        await followed.at(HOUR)
        assert not followed.has("printer_alert")


async def test_errors_that_only_ipp_tells_are_asked_for_every_time_unless_it_sleeps() -> None:
    printer = Printer()
    printer.drop("HR_PRINTER_ERRORS")
    ipp: dict[str, Any] = {"printer-state": [5], "printer-state-reasons": [b"media-jam-error"]}
    with Device(printer.answer) as device:
        followed = Followed(printer, device, ipp)
        for round_ in range(4):
            line = await followed.at(round_ * INTERVAL)
            assert followed.value(line, "printer_error", printer_error="jammed") == 1
        ipp["printer-state-reasons"] = [b"none"]
        line = await followed.at(5 * INTERVAL)
        assert followed.value(line, "printer_error", printer_error="jammed") == 0
        asked = followed.asked_by_ipp
        printer.set("HR_PRINTER_STATUS", integer(1))
        await followed.at(6 * INTERVAL)
        assert followed.asked_by_ipp == asked


async def test_ipp_that_is_off_is_asked_once_an_hour_where_snmp_answers() -> None:
    printer = Printer()
    printer.drop("HR_PRINTER_ERRORS")
    with Device(printer.answer) as device:
        followed = Followed(printer, device, {})
        for round_ in range(13):
            await followed.at(round_ * INTERVAL)
        assert followed.asked_by_ipp == 2
        printer.is_on = False
        await followed.at(13 * INTERVAL)
        assert followed.asked_by_ipp == 3


async def test_a_column_that_is_never_answered_is_not_waited_for(followed: Followed) -> None:
    followed.printer.silent = mibs.SUPPLY_CLASS
    await followed.at(0)
    assert followed.has("printer_tray_level_ratio") is followed.has("printer_supply_level_ratio") is False
    assert "fell silent" in followed.poll.trouble
    line = await followed.at(INTERVAL)  # not the first time
    assert followed.value(line, "printer_supply_level_ratio", printer_supply_index="1") == 0.63
    assert followed.poll.trouble == ""
    await followed.at(2 * INTERVAL)
    assert [request.kind for request in followed.requests] == [GET]


async def test_a_silent_column_keeps_its_own_table_and_renews_the_others(followed: Followed) -> None:
    followed.printer.set("ALERT_SEVERITY", integer(3), 1, 1)
    followed.printer.set("ALERT_CODE", integer(8), 1, 1)
    await followed.at(0)
    followed.printer.silent = mibs.ALERT_CODE
    followed.printer.set("SUPPLY_LEVEL", integer(61), 1, 1)
    line = await followed.at(HOUR)
    assert followed.value(line, "printer_alert", printer_alert_code="jam") == 1
    assert followed.value(line, "printer_supply_level_ratio", printer_supply_index="1") == 0.61


async def test_version_1_asks_once_an_hour_for_what_is_missing() -> None:
    printer = Printer()
    printer.drop("HR_PRINTER_STATUS")
    with Device(printer.answer) as device:
        followed = Followed(printer, device, version=SnmpVersion.V1)
        await followed.at(0)
        counts = []
        for minutes in (5, 10, 15):
            line = await followed.at(minutes * MINUTES)
            counts.append(len(followed.requests))
            assert followed.value(line, "printer_pages_total") == 1_000
        assert counts[0] > 5
        assert counts[1:] == [1, 1]
        printer.set("HR_PRINTER_STATUS", integer(4))
        await followed.at(HOUR)
        line = await followed.at(HOUR + INTERVAL)
        assert followed.value(line, "printer_status", printer_status="printing") == 1
        printer.drop("HR_DEVICE_STATUS")  # another one is missing now
        line = await followed.at(HOUR + 2 * INTERVAL)
        assert followed.value(line, "printer_pages_total") == 1_000


async def test_what_happens_as_it_falls_asleep_is_read_when_it_wakes(followed: Followed) -> None:
    await followed.at(0)
    followed.printer.set("HR_PRINTER_STATUS", integer(1))
    followed.printer.alert(1, severity=3, code=1104)
    followed.printer.set("GENERAL_ALL_EVENTS", integer(8, COUNTER32))
    await followed.at(INTERVAL)
    assert [request.kind for request in followed.requests] == [GET]
    followed.printer.set("HR_PRINTER_STATUS", integer(3))
    await followed.at(2 * INTERVAL)
    assert followed.has("printer_alert")


async def test_one_that_prints_does_not_sleep_whatever_it_says(followed: Followed) -> None:
    followed.printer.set("HR_PRINTER_STATUS", integer(1))
    await followed.at(0)
    followed.printer.set("MARKER_LIFE_COUNT", integer(1_010, COUNTER32), 1, 1)
    followed.printer.set("SUPPLY_LEVEL", integer(61), 1, 1)
    line = await followed.at(HOUR)
    assert followed.value(line, "printer_supply_level_ratio", printer_supply_index="1") == 0.61


async def test_pages_of_a_makers_own_counter_are_read_every_time() -> None:
    printer = Printer()
    printer.drop("MARKER_LIFE_COUNT", 1, 1)
    (total,) = map(parse_oid, total_objects(vendors.MAKERS[11]))
    with Device(printer.answer) as device:
        followed = Followed(printer, device)
        for round_ in range(3):
            printer.objects = Objects(printer.objects.values | {total: integer(500 + round_)})
            line = await followed.at(round_ * INTERVAL)
            assert followed.value(line, "printer_pages_total") == 500 + round_
            assert round_ == 0 or len(followed.requests) == 1


async def test_its_display_and_what_it_refuses_are_told_with_what_it_is(followed: Followed) -> None:
    followed.printer.set("CONSOLE_TEXT", octets(b"Toner low"), 1, 1)
    (event,) = (await followed.at(0))["events"]
    assert (event["display"], event["refusal"]) == ("Toner low", "")
    followed.printer.set("CONSOLE_TEXT", octets(b"Ready"), 1, 1)
    (event,) = (await followed.at(HOUR))["events"]
    assert event["display"] == "Ready"


async def test_what_will_not_pass_by_itself_is_told_once() -> None:
    async def refuse(_: int | None) -> SnmpClient:
        raise AccessRefused("answers, and refuses the user 'reader'")

    poll, teller = PrinterPoll(refuse, None), Teller("prn-1", INTERVAL)
    told = []
    for now in (0.0, INTERVAL):
        await poll.poll(now)
        told += teller.tell(poll, now)["events"]
    reason = "SNMP: answers, and refuses the user 'reader'"
    assert told == [{"type": "printer_refused", "device_id": "prn-1", "reason": reason}]
