"""A printer that speaks SNMP, the agent that reads it, the collector: from an empty cartridge to a ticket and back."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from agent.printers import mibs
from bench._snmp_device import COUNTER32, Device, Objects, Request, integer, load_recording, parse_oid
from tests.agent.printers.snmpsim import RECORDINGS
from tests.e2e.harness import Collector, agent_process, collector_in, enrol_agent, eventually

pytestmark = pytest.mark.slow

RULES = """\
groups:
  - name: e2e
    interval: 1s
    rules:
      - alert: SupplyEmpty
        expr: printer_supply_empty{kind="printer"} == 1
        labels: {severity: major, category: supplies}
        annotations:
          summary: "{{ $labels.printer_supply_description }} of {{ $labels.device_id }} is empty"
"""
READ_EVERY_SECONDS = "30"  # as often as may be


class Printer:
    """A recorded one, whose black cartridge the test uses up and changes."""

    def __init__(self) -> None:
        self._objects = Objects(load_recording(RECORDINGS / "jetdirect_m252dw.snmprec"))
        self._events = 0

    def set_black(self, percent: int) -> None:
        """The printer says that something happened, as real ones do."""
        self._events += 1
        level, events = parse_oid(mibs.SUPPLY_LEVEL), parse_oid(mibs.GENERAL_ALL_EVENTS)
        changed = {(*level, 1, 1): integer(percent), (*events, 1): integer(self._events, COUNTER32)}
        self._objects = Objects(self._objects.values | changed)

    def answer(self, request: Request) -> list[bytes]:
        return [self._objects.answer(request)]


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with collector_in(tmp_path, RULES) as collector:
        collector.add_customers()
        yield collector


def wait_for_black(collector: Collector, ratio: float) -> None:
    """Until it is known that so much is left; it is asked every half minute."""
    query = f'printer_supply_level_ratio{{printer_supply_color="black"}} == {ratio}'
    path = f"/api/v1/query?query={quote(query)}"
    eventually(lambda: collector.request("GET", path).json["data"]["result"], f"black at {ratio}")


def test_an_empty_cartridge_is_a_ticket_until_it_is_changed(collector: Collector, tmp_path: Path) -> None:
    printer, state = Printer(), tmp_path / "agent"
    printer.set_black(63)
    with Device(printer.answer) as device:
        enrol_agent(collector, "acme", state)
        asked = ("--snmp-port", str(device.port), "--interval", READ_EVERY_SECONDS)
        device_id = collector.run("printers", "add", "127.0.0.1", "--customer", "acme", "--site", "hq", *asked).strip()
        with agent_process(state, "--interval", "1s"):
            wait_for_black(collector, 0.63)
            (seen,) = eventually(
                lambda: [one for one in collector.rows("printers", "list") if one["serial"]], "what the printer is"
            )
            assert (seen["id"], seen["serial"]) == (device_id, "VNB3J99999")
            printer.set_black(0)
            wait_for_black(collector, 0)
            (ticket,) = eventually(lambda: collector.rows("tickets", "list"), "a ticket")
            assert (ticket["customer"], ticket["device"], ticket["rule"]) == ("acme", device_id, "SupplyEmpty")
            printer.set_black(100)
            wait_for_black(collector, 1)
            eventually(lambda: collector.rows("tickets", "list")[0]["resolved_at"], "the ticket's end")
