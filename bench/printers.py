"""What reading printers weighs: `python -m bench printers --json [--seconds 400] [--printers 250] [--dead 0.1]`.

A real agent with TLS and its reader read recorded printers (tests/data/printers), served by a small SNMP agent in a
process of its own: 250 every 5 minutes, a tenth of them dead. Each is a device of its own; ten recordings are told
apart by their community. Memory is the highest seen in `/proc/PID/smaps_rollup`, processor time the processes' own
clocks. `first_round` is until every printer has been read once, the dead ones given up: their first readings begin
within half a minute.
"""

import argparse
import contextlib
import json
import signal
import socket
import tempfile
import time
import zlib
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import psutil

from bench._agent_process import (
    Sink,
    ask_stats,
    make_certificate,
    read_cpu_seconds,
    read_memory_kib,
    running,
    running_agent,
    serve_over_tls,
)
from bench._snmp_device import Device, Objects, Request, load_recording
from protocol.models import Config
from protocol.wire import DEFAULT_PRINTER_INTERVAL_SECONDS, ENROLL_PATH

RECORDINGS = Path("tests/data/printers")
LOOK_EVERY_SECONDS = 1.0


class PrinterSink(Sink):
    """Tells the agent its printers, and remembers whose frames came."""

    config: ClassVar[dict[str, Any]] = {}
    first_frames: ClassVar[dict[str, float]] = {}  # by printer, seconds since the first push
    frames: ClassVar[dict[str, int]] = {}
    last_frames: ClassVar[dict[str, int]] = {}
    longest_gap_seconds: ClassVar[list[float]] = [0.0]
    known: ClassVar[set[str]] = set()
    began: ClassVar[list[float]] = []

    def get(self) -> None:
        self.answer(self.config)

    def stats(self) -> dict[str, Any]:
        return {"first": self.first_frames, "frames": self.frames, "longest_gap": self.longest_gap_seconds[0]}

    def post(self) -> None:
        if self.path == ENROLL_PATH:
            super().post()
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = zlib.decompress(body, 31)
        push = json.loads(body)
        self.began.extend([time.monotonic()] if not self.began else [])
        self.known.update(one["id"] for one in push["layouts"])
        missing = sorted({one["layout"] for one in push["frames"]} - self.known)
        for frame in [] if missing else push["frames"]:
            self.note(frame.get("device"), frame["t"])
        acked = None if missing else push["seq"]
        now = int(time.time() * 1000)
        self.answer({"acked": acked, "now": now, "need_layouts": missing, "refused": [], "config_etag": "bench"})

    def note(self, device: str | None, t: int) -> None:
        if device is None:
            return
        self.first_frames.setdefault(device, time.monotonic() - self.began[0])
        self.frames[device] = self.frames.get(device, 0) + 1
        if device in self.last_frames:
            self.longest_gap_seconds[0] = max(self.longest_gap_seconds[0], (t - self.last_frames[device]) / 1000)
        self.last_frames[device] = t


def serve_sink(certificate: Path, config: dict[str, Any], ready: Connection) -> None:
    PrinterSink.config = config
    serve_over_tls(PrinterSink, certificate, ready)


def serve_printers(ready: Connection) -> None:
    recorded = {path.stem.encode(): Objects(load_recording(path)) for path in RECORDINGS.glob("*.snmprec")}

    def answer(request: Request) -> list[bytes]:
        found = recorded.get(request.community)
        return [] if found is None else [found.answer(request)]

    with Device(answer, keep_requests=False) as device:
        ready.send(device.port)
        signal.pause()


def make_config(printers: int, dead: float, port: int, dead_port: int) -> dict[str, Any]:
    """Every so many is dead: nobody ever answers on its port."""
    names = sorted(path.stem for path in RECORDINGS.glob("*.snmprec"))
    every = round(1 / dead) if dead else printers + 1
    listed = []
    for number in range(printers):
        is_dead = number % every == every - 1
        community = names[number // 2 % len(names)]
        snmp = {"version": "2c", "port": dead_port if is_dead else port, "community": community}
        listed.append(
            {
                "device_id": f"prn-{number:03}",
                "host": "127.0.0.1",
                "snmp": snmp,
                "interval_seconds": DEFAULT_PRINTER_INTERVAL_SECONDS,
            }
        )
    return Config().model_dump(mode="json") | {"printers": listed}


def measure(seconds: float, printers: int, dead: float) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="quarkpulse-bench-") as name,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent,
        running(serve_printers) as port,
    ):
        silent.bind(("127.0.0.1", 0))
        folder = Path(name)
        certificate = make_certificate(folder)
        config = make_config(printers, dead, port, silent.getsockname()[1])
        with running(serve_sink, certificate, config) as sink:
            url = f"https://localhost:{sink}"
            with running_agent(url, folder / "state", certificate) as pid:
                return watch(pid, seconds, printers, url)


def watch(pid: int, seconds: float, printers: int, url: str) -> dict[str, Any]:
    began = time.monotonic()
    reader = 0
    peaks: dict[int, dict[str, int]] = {pid: {}}
    while time.monotonic() - began < seconds:
        time.sleep(LOOK_EVERY_SECONDS)
        reader = reader or find_reader(pid)
        for one in filter(None, (pid, reader)):
            for name, kib in read_memory_kib(one).items():
                peaks.setdefault(one, {})[name] = max(peaks.get(one, {}).get(name, 0), kib)
    hours = (time.monotonic() - began) / 3600
    stats = ask_stats(url)
    if len(stats["first"]) < printers:
        raise RuntimeError(f"only {len(stats['first'])} of {printers} printers had a frame within {seconds:g} s")
    return {
        "seconds": round(hours * 3600, 1),
        "printers": printers,
        "reader_rss_mib": round(peaks[reader]["Rss"] / 1024, 2),
        "reader_anonymous_mib": round(peaks[reader]["Anonymous"] / 1024, 2),
        "reader_cpu_seconds_per_hour": round(read_cpu_seconds(reader) / hours, 1),
        "agent_rss_mib": round(peaks[pid]["Rss"] / 1024, 2),
        "agent_anonymous_mib": round(peaks[pid]["Anonymous"] / 1024, 2),
        "agent_cpu_seconds_per_hour": round(read_cpu_seconds(pid) / hours, 1),
        "first_round_seconds": round(max(stats["first"].values()), 1),
        "frames": sum(stats["frames"].values()),
        "longest_gap_between_frames_seconds": round(stats["longest_gap"], 1),
    }


def find_reader(pid: int) -> int:
    """The child that stays; probes have some that do not. 0: there is none yet."""
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):
            if "agent.printers.reader" in child.cmdline():
                return child.pid
    return 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench printers", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=400.0, help="how long to watch (400: more than one round)")
    parser.add_argument("--printers", type=int, default=250, help="how many printers (250)")
    parser.add_argument("--dead", type=float, default=0.1, help="share of them that never answer (0.1)")
    options = parser.parse_args(arguments)
    figures = measure(options.seconds, options.printers, options.dead)
    if options.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:<36} {value}" for name, value in figures.items()))
    return 0
