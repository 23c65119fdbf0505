"""A printer that speaks SNMP, a real agent that reads it, the collector: what it is, the order of what runs low, in
both languages, and its end when the cartridge is changed."""

import itertools
import re
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from agent.enrolment import enroll
from agent.printers import mibs
from bench._snmp_device import COUNTER32, Device, Objects, Request, integer, load_recording, parse_oid
from collector.alerting.yamlfile import shipped_folder
from tests.agent.printers.snmpsim import RECORDINGS
from tests.e2e.harness import Collector, agent_process, collector_in, eventually

LOOKING_AHEAD_AT_ONCE = """\
import collector.app.printers as printers
from collector.cli import main
printers.FORESIGHT_SECONDS = 0.5  # not once a minute
main()
"""
READ_EVERY_SECONDS = itertools.count(30)  # 30 is as often as may be


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


def rules_at_once() -> str:
    """The shipped ones, without their patience."""
    rules = (shipped_folder() / "printer.yaml").read_text(encoding="utf-8")
    rules = re.sub(r"^        for: .*$", "        for: 0s", rules, flags=re.MULTILINE)
    return re.sub(r"^(  - name: .*)$", r"\1\n    interval: 1s", rules, flags=re.MULTILINE)


def wait_for_black(collector: Collector, ratio: float) -> None:
    """Until it is known that so much is left."""
    query = f'printer_supply_level_ratio{{printer_supply_color="black"}} == {ratio}'
    path = f"/api/v1/query?query={quote(query)}"
    eventually(lambda: collector.request("GET", path).json["data"]["result"], f"black at {ratio}")


def wait_for_alerts(collector: Collector, *rules: str) -> None:
    """Until these fire and no others."""

    def fires() -> bool:
        alerts = collector.request("GET", "/api/v1/alerts").json["data"]["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"} == set(rules)

    eventually(fires, f"the alerts {rules}")


def order(dutch: str, english: str) -> str:
    """The ticket's text, with these words for how much is left."""
    where, cartridge = "reception (<private>)", "Black Cartridge HP CF400X"
    return (
        f"Te bestellen voor uw printers:\n- zwarte toner voor de printer {where}, {dutch}, {cartridge}\n\n"
        f"To be ordered for the printers:\n- black toner for the printer {where}, {english}, {cartridge}"
    )


def wait_for_order(collector: Collector, number: int, dutch: str, english: str) -> None:
    def is_told() -> bool:
        (shown,) = collector.rows("tickets", "show", str(number))
        return bool(shown["description"] == order(dutch, english))

    eventually(is_told, f"the order of what is {english}")


@pytest.mark.slow
def test_a_cartridge_is_ordered_until_it_is_changed(tmp_path: Path) -> None:
    printer, state = Printer(), tmp_path / "agent"
    printer.set_black(4)
    with Device(printer.answer) as device, collector_in(tmp_path, rules_at_once(), start=False) as collector:
        shutil.copy(shipped_folder() / "thresholds.yaml", collector.rules)
        collector.program = (sys.executable, "-c", LOOKING_AHEAD_AT_ONCE)
        collector.start()
        collector.add_customers()
        enroll(state, collector.url, collector.token("acme"), probes={})
        add = ("printers", "add", "127.0.0.1", "--customer", "acme", "--site", "hq", "--name", "reception")
        asked = ("--snmp-port", str(device.port), "--interval", str(next(READ_EVERY_SECONDS)))
        name = collector.run(*add, *asked).strip()

        def set_black(percent: int) -> None:
            printer.set_black(percent)
            collector.run("printers", "update", name, "--interval", str(next(READ_EVERY_SECONDS)))  # is read at once

        def tickets() -> list[dict[str, Any]]:
            return collector.rows("tickets", "list")

        with agent_process(state, "--interval", "1s"):
            wait_for_black(collector, 0.04)
            eventually(lambda: collector.rows("printers", "list")[0]["serial"], "what it is to be known")
            (seen,) = collector.rows("printers", "list")
            assert (seen["id"], seen["serial"], "M252" in seen["model"]) == (name, "VNB3J99999", True)
            wait_for_alerts(collector, "PrinterSupplyLow")
            (ticket,) = eventually(tickets, "the order")
            assert (ticket["customer"], ticket["device"], ticket["rule"]) == ("acme", None, "PrinterSupplyLow")
            wait_for_order(collector, ticket["number"], "bijna op", "low")

            set_black(0)
            wait_for_black(collector, 0)
            wait_for_alerts(collector, "PrinterSupplyEmpty", "PrinterSupplyRunsOut", "PrinterSupplyToOrder")
            wait_for_order(collector, ticket["number"], "op", "empty")

            set_black(100)
            wait_for_black(collector, 1)
            wait_for_alerts(collector)
            eventually(lambda: [one["status"] for one in tickets()] == ["resolved"], "the ticket's end")
            black = collector.rows("printers", "show", name)[0]["supplies"][0]
            assert (black["level_ratio"], black["changed_at"] is not None) == (1.0, True)
