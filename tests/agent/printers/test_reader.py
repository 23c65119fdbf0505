"""`python -m agent.printers.reader` as a real process: told by lines, telling by lines."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from agent.config import parse_config
from agent.printers import reader as reader_module
from bench._snmp_device import Device, Objects, load_recording
from tests.agent.printers.snmpsim import RECORDINGS

HP = Objects(load_recording(RECORDINGS / "jetdirect_m252dw.snmprec"))


class Reader:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "agent.printers.reader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def configure(self, *printers: dict[str, Any]) -> None:
        self.tell(json.dumps({"printers": printers}))

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def end(self) -> str:
        """Its stdin ends, and so does it; what it logged."""
        _, log = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return log


@pytest.fixture
def reader() -> Iterator[Reader]:
    started = Reader()
    yield started
    started.process.kill()
    started.process.communicate()


def printer(device_id: str, port: int, **more: Any) -> dict[str, Any]:
    snmp = {"version": "2c", "port": port, "community": "public"}
    return {"device_id": device_id, "host": "localhost", "snmp": snmp, "interval_seconds": 30.0, **more}


def test_it_reads_what_it_is_told_until_its_stdin_ends(reader: Reader) -> None:
    with Device(lambda request: [HP.answer(request)]) as device:
        reader.configure(printer("prn-1", device.port))
        line = reader.hear()
        assert line["device_id"] == "prn-1"
        assert [one["name"] for one in line["layout"]["series"]].count("printer_supply_level_ratio") == 4
        assert [event["type"] for event in line["events"]] == ["printer_seen"]
        # Only what is new begins anew.
        reader.configure(printer("prn-1", device.port), printer("prn-2", device.port))
        assert reader.hear()["device_id"] == "prn-2"
    assert reader.end() == ""


async def test_a_turn_that_fails_is_logged_and_another_follows(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Mapping[str, object]] = []
    is_told = asyncio.Event()

    def say(line: Mapping[str, object]) -> None:
        told.append(line)
        if len(told) == 1:
            raise ValueError("cannot be said")
        is_told.set()

    with Device(lambda request: [HP.answer(request)]) as device:
        (config,) = parse_config({"printers": [printer("prn-1", device.port)]}).printers
        config["interval_seconds"] = 0.01
        reading = reader_module.Reader(say)
        reading.configure((config,))
        async with asyncio.timeout(60):
            await is_told.wait()
        await reading.stop()
    assert "printer not told of: device_id=prn-1 times=1" in caplog.text


def test_what_is_no_configuration_leaves_the_one_before(reader: Reader) -> None:
    with Device(lambda request: [HP.answer(request)]) as device:
        for nonsense in ("no json", '{"printers": 7}', '{"printers": [{"device_id": "prn-1"}]}'):
            reader.tell(nonsense)
        reader.configure(printer("prn-1", device.port))
        assert reader.hear()["device_id"] == "prn-1"
    assert reader.end().count("configuration not understood") == 3


def test_what_cannot_be_read_is_told_and_logged_once_and_spoils_nothing(reader: Reader) -> None:
    broken = b"\x30\x82"  # makes the library panic, which must not fill the log
    with Device(lambda _: [broken]) as bad, Device(lambda request: [HP.answer(request)]) as good:
        v3 = {"version": "3", "port": good.port, "user": "u", "auth": "sha1", "auth_password": "short"}
        reader.configure(
            printer("prn-bad", bad.port),
            printer("prn-v3", good.port, snmp=v3),
            printer("prn-nowhere", good.port, host="no-such-host.invalid"),
            printer("prn-none", good.port, snmp=None),
            printer("prn-good", good.port),
        )
        lines = {line["device_id"]: line for line in (reader.hear() for _ in range(5))}
    assert lines["prn-bad"]["v"] == [0]
    assert lines["prn-nowhere"]["v"] == [0]
    assert lines["prn-none"]["v"] == [0]
    (refused,) = lines["prn-v3"]["events"]
    assert (refused["type"], "at least 8 characters" in refused["reason"]) == ("printer_refused", True)
    assert lines["prn-good"]["v"][-1] is not None
    log = reader.end().splitlines()
    assert len(log) == 3
    assert not any("short" in line for line in log)
