"""What the agent weighs: `python -m bench agent --json [--seconds 120] [--interval 60] [--against NAME,NAME]`.

A real agent process, with all probes of this machine, TLS and the spool, pushes to a sink in a process of its own that
speaks protocol version 1. Memory is the highest seen in `/proc/PID/smaps_rollup`; processor time is taken from the
process's own clock, in nanoseconds, after the first frames: start-up is reported apart. What is read less often than a
frame is made (and its children: apt, smartctl, readers in processes of their own) is read once more beside it, and its
cost spread over its interval: `day_cpu_seconds_per_hour` is the sum, the average over a day. `--against` measures other
agents after it in the same run, for as long, asked once in the same interval, summed over their processes.
"""

import argparse
import contextlib
import json
import os
import resource
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from agent.enrolment import describe_probes
from agent.inventory.watch import InventoryProbe
from agent.loading import make_probe
from agent.probes.base import FAST_INTERVAL_SECONDS, ProbeUnavailable
from agent.sampling import Schedule
from agent.service.systemd import FILES
from agent.state import StateFolder
from bench._peers import PEERS, running, tree
from protocol.errors import QuarkpulseError
from protocol.wire import ENROLL_PATH

SAMPLE_EVERY_SECONDS = 5.0
WARM_UP_FRAMES = 2
AGENT = str(Path(sys.executable).with_name("quarkpulse-agent"))


class Sink(BaseHTTPRequestHandler):
    """Takes everything, like a collector with nothing else to do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.get()

    def do_POST(self) -> None:
        self.post()

    def get(self) -> None:
        self.answer({"push_interval_seconds": 60.0, "probe_intervals_seconds": {}})

    def post(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        now = int(time.time() * 1000)
        if self.path == ENROLL_PATH:
            config = {"push_interval_seconds": 60.0}
            self.answer({"device_id": "bench-0000", "secret": "s" * 43, "now": now, "config": config})
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = zlib.decompress(body, 31)
        push = json.loads(body)
        self.answer({"acked": push["seq"], "now": now, "need_layouts": [], "refused": [], "config_etag": "bench"})

    def answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("ETag", '"bench"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def serve_sink(certificate: Path, ready: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    ready.send(server.server_address[1])
    server.serve_forever()


@contextlib.contextmanager
def running_sink(certificate: Path) -> Iterator[str]:
    """Its address."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=serve_sink, args=(certificate, sender), daemon=True)
    process.start()
    try:
        yield f"https://localhost:{receiver.recv()}"
    finally:
        process.terminate()
        process.join()


def make_certificate(folder: Path) -> Path:
    """A throw-away certificate for localhost with its key, in one file."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


def read_memory_kib(pid: int) -> dict[str, int]:
    """Rss, Pss, Anonymous and the like in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def read_cpu_seconds(pid: int) -> float:
    """Of the process, ended threads included: clock ticks are too coarse, so the scheduler's nanoseconds."""
    return time.clock_gettime(~pid << 3 | 2)  # the process's CPU clock, as clock_getcpuclockid(3) makes it


def measure(seconds: float, interval_seconds: float) -> dict[str, Any]:
    """Run the agent for `seconds` after its first frames, and report its weight."""
    with tempfile.TemporaryDirectory(prefix="quarkpulse-bench-") as name:
        folder = Path(name)
        certificate = make_certificate(folder)
        interval = ("--interval", f"{interval_seconds:g}s")
        with running_sink(certificate) as url, running_agent(url, folder / "state", certificate, interval) as pid:
            return watch(pid, seconds, interval_seconds)


@contextlib.contextmanager
def running_agent(url: str, state: Path, certificate: Path, options: Sequence[str] = ()) -> Iterator[int]:
    """The process id of an agent that is enrolled at `url` and runs as the shipped service does."""
    enroll = ["enroll", "--collector", url, "--token", "bench", "--state", str(state), "--ca", str(certificate)]
    subprocess.run([AGENT, *enroll], check=True, capture_output=True)
    run = [AGENT, "run", "--state", str(state), *options]
    agent = subprocess.Popen(run, stderr=subprocess.DEVNULL, env=os.environ | service_variables())
    try:
        yield agent.pid
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait(10)


def service_variables() -> dict[str, str]:
    """What the shipped service sets for the agent."""
    lines = (FILES / "quarkpulse-agent.service").read_text(encoding="utf-8").splitlines()
    pairs = [pair for line in lines if line.startswith("Environment=") for pair in line.partition("=")[2].split()]
    return dict(pair.split("=", 1) for pair in pairs)


def watch(pid: int, seconds: float, interval_seconds: float) -> dict[str, Any]:
    time.sleep(min(10.0, WARM_UP_FRAMES * interval_seconds))
    start_cpu = read_cpu_seconds(pid)
    began = time.monotonic()
    peak: dict[str, int] = {}
    while time.monotonic() - began < seconds:
        time.sleep(min(SAMPLE_EVERY_SECONDS, seconds))
        for name, kib in read_memory_kib(pid).items():
            peak[name] = max(peak.get(name, 0), kib)
    spent_cpu = read_cpu_seconds(pid) - start_cpu
    hours = (time.monotonic() - began) / 3600
    return {
        "seconds": round(hours * 3600, 1),
        "interval_seconds": interval_seconds,
        "python": sys.version.split()[0],
        "rss_mib": round(peak["Rss"] / 1024, 2),
        "pss_mib": round(peak["Pss"] / 1024, 2),
        "anonymous_mib": round(peak["Anonymous"] / 1024, 2),
        "cpu_seconds_per_hour": round(spent_cpu / hours, 3),
        "start_cpu_seconds": round(start_cpu, 3),
        "threads": len(list(Path(f"/proc/{pid}/task").iterdir())),
        "open_files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


def measure_peer(name: str, seconds: float, interval_seconds: float) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="quarkpulse-bench-") as folder,
        running(name, Path(folder), interval_seconds) as peer,
    ):
        peer.ask()
        time.sleep(min(10.0, WARM_UP_FRAMES * interval_seconds))
        before = sum(map(read_cpu_seconds, tree(peer.pid)))
        began = time.monotonic()
        asked = 0
        peak: dict[str, int] = {}
        while time.monotonic() - began < seconds:
            if time.monotonic() - began >= asked * interval_seconds:
                peer.ask()
                asked += 1
            now = Counter[str]()
            for pid in tree(peer.pid):
                now.update(read_memory_kib(pid))
            peak = {kind: max(peak.get(kind, 0), now[kind]) for kind in now}
            time.sleep(min(SAMPLE_EVERY_SECONDS, interval_seconds))
        spent = sum(map(read_cpu_seconds, tree(peer.pid))) - before
        return {
            "rss_mib": round(peak["Rss"] / 1024, 2),
            "pss_mib": round(peak["Pss"] / 1024, 2),
            "anonymous_mib": round(peak["Anonymous"] / 1024, 2),
            "cpu_seconds_per_hour": round(spent * 3600 / (time.monotonic() - began), 3),
            "processes": len(tree(peer.pid)),
        }


def measure_slow_probes() -> dict[str, dict[str, float]]:
    """By probe that is read less often than every frame: its cost per reading and per hour, children included."""
    costs = {}
    with tempfile.TemporaryDirectory(prefix="quarkpulse-bench-") as name:
        folder = StateFolder(Path(name))
        listed = [make_probe(probe_name, entry, folder, None) for probe_name, entry in describe_probes().items()]
        for probe in [*listed, InventoryProbe(folder, time.time)]:
            if probe.interval_seconds <= FAST_INTERVAL_SECONDS:
                continue
            schedule = Schedule(probe)
            for _ in range(2):  # the first reading loads, and finds out where logs end
                before = spent_cpu_seconds()
                try:
                    probe.sample()
                except ProbeUnavailable:  # what this machine lacks has cost its look, and is looked for more seldom
                    schedule.is_lacking = True
                except QuarkpulseError:
                    pass
                spent = spent_cpu_seconds() - before
            per_hour = spent * 3600 / schedule.seconds_between
            costs[probe.name] = {"cpu_seconds": round(spent, 4), "cpu_seconds_per_hour": round(per_hour, 4)}
    return costs


def spent_cpu_seconds() -> float:
    """Of this process and of its ended children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench agent", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to watch (120)")
    parser.add_argument("--interval", type=float, default=60.0, help="seconds between frames (60)")
    parser.add_argument("--against", default="", help=f"other agents, separated by commas: {', '.join(PEERS)}")
    options = parser.parse_args(arguments)
    peers = [name for name in options.against.split(",") if name]
    if unknown := sorted(set(peers) - set(PEERS)):
        parser.error(f"no such agent: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    figures = measure(options.seconds, options.interval)
    slow = measure_slow_probes()
    in_all = figures["cpu_seconds_per_hour"] + sum(cost["cpu_seconds_per_hour"] for cost in slow.values())
    figures |= {"day_cpu_seconds_per_hour": round(in_all, 3), "slow_probes": slow}
    if peers:
        figures["peers"] = {name: measure_peer(name, options.seconds, options.interval) for name in peers}
    if options.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:<22} {value}" for name, value in figures.items()))
    return 0
