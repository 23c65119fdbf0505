"""IPP: recorded answers of real printers, and a real printer program whose levels and state are changed."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.printers import snmp
from agent.printers.errors import BadAnswer, NoAnswer
from agent.printers.ipp import MAX_ANSWER_BYTES, ask_printer
from agent.printers.ipp_codec import decode_answer
from agent.printers.ipp_decoding import decode_attributes
from agent.printers.merge import merge
from agent.printers.reading import Fill, Reading, Supply
from agent.printers.snmp import resolve
from agent.printers.targets import IppAccess
from bench._ports import free_port
from tests.agent.conftest import AGENT
from tests.conftest import require

RECORDED = Path("tests/data/ipp")


def recorded(name: str) -> Reading:
    return decode_attributes(decode_answer((RECORDED / f"get-printer-attributes-{name}.bin").read_bytes()).printer)


def test_a_recorded_epson() -> None:
    reading = recorded("epsonxp6000")
    assert (reading.model, reading.serial) == ("EPSON XP-6000 Series", "583434593035343012")
    assert reading.firmware == "20.44.NU25M7"
    assert (reading.status, reading.uptime_seconds, reading.queued_jobs) == ("idle", 783_801, 0)
    assert reading.error_states == ("lowToner",)
    assert [(one.description, one.color, one.level, one.state) for one in reading.supplies] == [
        ("Photo Black ink", "photo black", 27, Fill.OK),
        ("Cyan ink", "cyan", 99, Fill.OK),
        ("Magenta ink", "magenta", 83, Fill.OK),
        ("Yellow ink", "yellow", 6, Fill.LOW),
        ("Black ink", "black", 64, Fill.OK),
    ]
    assert {one.type for one in reading.supplies} == {"inkCartridge"}
    assert [(one.severity, one.code) for one in reading.alerts] == [("warningBinaryChangeEvent", "subunitAlmostEmpty")]


def test_a_recorded_hp() -> None:
    """All of its inks are exactly on the mark, and it calls them low itself."""
    reading = recorded("hp6830")
    assert (reading.model, reading.serial, reading.queued_jobs) == ("HP Officejet Pro 6830", "TH55R620W0", 0)
    assert [(one.color, one.level, one.state) for one in reading.supplies] == [
        (color, 20, Fill.LOW) for color in ("magenta", "cyan", "yellow", "black")
    ]
    assert {one.type for one in reading.supplies} == {"inkCartridge"}
    assert [(one.level, one.max_capacity, one.state) for one in reading.trays] == [(None, None, Fill.UNKNOWN)]


def attributes(**values: list[int | bytes]) -> Reading:
    return decode_attributes({name.replace("_", "-"): value for name, value in values.items()})


def test_a_waste_box_counts_the_other_way_round_and_lists_of_another_length_are_not_used() -> None:
    reading = attributes(
        marker_names=[b"Black", b"Waste"],
        marker_types=[b"toner", b"waste-toner"],
        marker_levels=[-3, 93],
        marker_high_levels=[100],
    )
    assert [(one.type, one.level, one.ratio, one.state) for one in reading.supplies] == [
        ("toner", None, None, Fill.SOME_LEFT),
        ("wasteToner", 7, 0.07, Fill.UNKNOWN),
    ]


async def test_printers_that_keep_it_waiting_hold_up_no_names_for_snmp(monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than the loop has threads of its own."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        access = IppAccess(silent.getsockname()[1], "/ipp/print")
        monkeypatch.setattr(snmp, "RESOLVE_SECONDS", 60.0)
        asked = [asyncio.create_task(ask_printer("127.0.0.1", access, 120.0)) for _ in range(60)]
        await asyncio.sleep(0)  # they begin
        assert await resolve("localhost") == "127.0.0.1"
        assert not any(one.done() for one in asked)
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


def test_media_of_trays() -> None:
    trays: list[int | bytes] = [b"maxcapacity=250;level=-3;name=Tray1;", b"maxcapacity=50;level=0;name=MP;"]
    media: list[int | bytes] = [b"iso_a4_210x297mm", b"na_letter_8.5x11in"]
    by_both = attributes(printer_input_tray=trays, media_ready=media).trays
    assert [(one.name, one.media, one.state) for one in by_both] == [
        ("Tray1", "iso_a4_210x297mm", Fill.SOME_LEFT),
        ("MP", "na_letter_8.5x11in", Fill.EMPTY),
    ]
    assert [one.media for one in attributes(printer_input_tray=trays, media_ready=media[:1]).trays] == [None, None]
    assert [(one.index, one.media, one.state) for one in attributes(media_ready=media).trays] == [
        ("1", "iso_a4_210x297mm", Fill.UNKNOWN),
        ("2", "na_letter_8.5x11in", Fill.UNKNOWN),
    ]


def test_reasons_become_states_and_alerts() -> None:
    reasons: list[int | bytes] = [b"waste-receptacle-full-error", b"media-jam", b"cover-open-report", b"none"]
    reading = attributes(printer_state_reasons=reasons)
    assert reading.error_states == ("doorOpen", "jammed")
    assert [(one.severity, one.group, one.code) for one in reading.alerts] == [
        ("critical", "markerSupplies", "markerWasteTonerReceptacleFull"),
        ("critical", "mediaPath", "jam"),
        ("other", "cover", "coverOpen"),
    ]


def test_two_readings_of_one_printer_are_one() -> None:
    by_snmp = Reading(
        model="A printer",
        pages=100,
        supplies=(
            Supply("1", "Black Toner", "toner", "black", state=Fill.SOME_LEFT),
            Supply("2", "Cyan Toner", "toner", "cyan", 50, 100, "percent", 0.5, Fill.OK),
        ),
    )
    by_ipp = Reading(
        serial="SN1",
        queued_jobs=2,
        pages=90,
        supplies=(
            Supply("1", "Black Cartridge", "tonerCartridge", "black", 40, 100, "percent", 0.4, Fill.OK),
            Supply("2", "Cyan Cartridge", "tonerCartridge", "cyan", 60, 100, "percent", 0.6, Fill.OK),
        ),
    )
    merged = merge(by_snmp, by_ipp)
    assert (merged.model, merged.serial, merged.pages, merged.queued_jobs) == ("A printer", "SN1", 100, 2)
    assert [(one.description, one.ratio, one.state) for one in merged.supplies] == [
        ("Black Toner", 0.4, Fill.OK),
        ("Cyan Toner", 0.5, Fill.OK),
    ]


# Its jobs drive it: it has a network of its own, so that nobody else hears of it.
DRIVE = """\
ATTR: marker-names=Black,Cyan marker-types=toner,toner marker-colors=#000000,#00FFFF marker-levels={black},{cyan} \
marker-low-levels=10,10 marker-high-levels=100,100
STATE: {state}
"""
START = """\
ip link set lo up
exec ippeveprinter -v -r off -p {port} -d {folder} -c {folder}/drive -f text/plain,application/pdf Reception
"""
READY = "printer-uri-supported"


class Inside:
    """The network of a printer program."""

    def __init__(self, pid: int, port: int, folder: Path) -> None:
        self.uri = f"ipp://127.0.0.1:{port}/ipp/print"
        self._pid = pid
        self._folder = folder

    def run(self, *command: str) -> str:
        inside = ["nsenter", "--target", str(self._pid), "--net", *command]
        return subprocess.run(inside, capture_output=True, text=True, timeout=60, check=True).stdout

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.run(AGENT, "printers", "read", "127.0.0.1", "--no-snmp", "--ipp", self.uri, "--json")
        )
        return found

    def set(self, black: int, cyan: int, state: str) -> None:
        job = self._folder / "job.txt"
        job.write_text(DRIVE.format(black=black, cyan=cyan, state=state))
        self.run("ipptool", "-t", "-f", str(job), "-d", "filetype=text/plain", self.uri, "print-job-and-wait.test")


@contextmanager
def running(command: list[str], ready: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """A program that says when it is ready."""
    started = subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output = started.stdout
    assert output is not None
    try:
        assert any(ready in line for line in output)
        drain = threading.Thread(target=output.read)
        drain.start()
        yield started
    finally:
        started.kill()
        started.wait()
    drain.join()
    output.close()


@pytest.fixture
def printer(tmp_path: Path) -> Iterator[Inside]:
    for tool in ("ippeveprinter", "ipptool", "dbus-daemon", "unshare", "nsenter", "ip"):
        require(tool)
    drive = tmp_path / "drive"
    drive.write_text('#!/bin/sh\ncat "$1" >&2\n')
    drive.chmod(0o755)
    (tmp_path / "spool").mkdir()
    port = free_port()
    bus = f"unix:path={tmp_path}/bus"  # without one it does not start
    with (
        running(["dbus-daemon", "--session", f"--address={bus}", "--nofork", "--print-address"], bus),
        running(
            ["unshare", "--net", "sh", "-ec", START.format(port=port, folder=tmp_path)],
            READY,
            DBUS_SYSTEM_BUS_ADDRESS=bus,
        ) as started,
    ):
        yield Inside(started.pid, port, tmp_path)


@pytest.mark.needs_root
def test_a_real_ipp_printer_whose_levels_and_state_change(printer: Inside) -> None:
    found = printer.read()
    assert (found["model"], found["status"], found["error_states"]) == ("Example Printer", "idle", [])
    assert found["supplies"] == []
    printer.set(7, 50, "toner-low-warning")
    found = printer.read()
    assert found["error_states"] == ["lowToner"]
    assert [one["code"] for one in found["alerts"]] == ["markerTonerAlmostEmpty"]
    assert [(one["description"], one["color"], one["ratio"], one["state"]) for one in found["supplies"]] == [
        ("Black", "black", 0.07, "low"),
        ("Cyan", "cyan", 0.5, "ok"),
    ]
    printer.set(100, 45, "none")
    found = printer.read()
    assert (found["error_states"], found["alerts"]) == ([], [])
    assert [(one["ratio"], one["state"]) for one in found["supplies"]] == [(1.0, "ok"), (0.45, "ok")]
    assert {one["name"] for one in found["trays"]} >= {"main", "manual"}


# Servers that are no good printers.


@contextmanager
def serving(answer: bytes, *, closes: bool = True) -> Iterator[int]:
    """Answers whatever it is asked with these octets, and hangs up, or not."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connections = []
            while True:
                connection, _ = server.accept()
                connections.append(connection)
                if not connection.recv(65_535):
                    break
                with contextlib.suppress(OSError):  # it has heard enough, and hung up
                    connection.sendall(answer)
                    if closes:
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65_535):  # closed with something unread, the answer would be lost
                            pass
            for one in connections:
                one.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            port: int = server.getsockname()[1]
            yield port
        finally:
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join()


def http_answer(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n".encode() + body


BACKWARDS = b"\x02\x00\x00\x00\x00\x00\x00\x01\x01\x44\x00\x01a\xff\xfa"  # a length of -6, which some follow


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP"),
        (http_answer(b"not found", "404 Not Found"), "HTTP status 404"),
        (http_answer(b"<html>a login page</html>"), "IPP"),
        (http_answer(BACKWARDS), "ends in the middle"),
        (http_answer(b"\x02\x00\x04\x06\x00\x00\x00\x01\x03"), "status 0x0406"),
        (http_answer(b"x" * (MAX_ANSWER_BYTES + 70_000)), "longer than 1024 KiB"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_000, "no HTTP"),
    ],
)
async def test_what_is_no_ipp_printer_is_told(answer: bytes, reason: str) -> None:
    with serving(answer) as port, pytest.raises(BadAnswer, match=reason):
        await ask_printer("127.0.0.1", IppAccess(port, "/ipp/print"))


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nX-", http_answer(b"\x02", length=100)])
async def test_one_that_never_comes_to_an_end_costs_its_timeout(answer: bytes) -> None:
    with serving(answer, closes=False) as port, pytest.raises(NoAnswer, match="no answer by IPP"):
        await ask_printer("127.0.0.1", IppAccess(port, "/ipp/print"), timeout_seconds=0.3)


async def test_nobody_is_there() -> None:
    with pytest.raises(NoAnswer, match="cannot be reached by IPP"):
        await ask_printer("127.0.0.1", IppAccess(free_port(), "/ipp/print"))
