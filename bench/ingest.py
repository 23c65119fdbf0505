"""What taking in samples costs: `python -m bench ingest --json [--seconds 10] [--connections 256] [--devices 256]`.

A real collector, durable as always, and a bare aiohttp handler that stores nothing (`bench._bare_server`) take turns
under the same load, so that both figures come from the same minutes of the same machine. This process is the load: one
connection for each worker, kept alive, each push 100 values of one device, prebuilt but for its time. No rule is
evaluated meanwhile, but rules are loaded, so that rings are kept as in earnest.

What was taken in becomes Parquet files a little later, in turns of half a minute of which a round may catch one or
none; a figure of its own is all that the collector took from the first round on until that was done too, over all
that it was sent, less what it takes while nobody sends anything.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import orjson
import psutil
import uvloop

from bench._ports import free_port
from collector.series.history.history import HistorySettings
from protocol import wire

COLLECTOR = str(Path(sys.executable).with_name("quarkpulse-collector"))
VALUES = 100
ROUNDS = 3
WARM_UP_SECONDS = 1.0
STEP_MS = 60_000
START_AGE_MS = int(wire.MAX_AGE_SECONDS * 1000) - 3_600_000  # room for thousands of steps before the present
START_TIMEOUT_SECONDS = 120.0  # a busy machine takes its time
SETTLING_SECONDS = HistorySettings().every_seconds + 5.0  # until what was taken in is compacted
IDLE_SECONDS = 10.0

# 25 of the 100 series are read over ranges, as typical host rules do; never evaluated while this runs.
RULES = """groups:
  - name: bench
    interval: 1h
    rules:
"""
RULE = "      - {{alert: Bench{index}, expr: 'rate(bench_metric_{index:02}[{window}]) > 1e9'}}\n"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server under test."""

    port: int
    pid: int
    secrets: Sequence[str]  # one for each device


@dataclass(slots=True)
class Load:
    """What one stretch of load came to."""

    seconds: float
    cpu_seconds: float
    client_cpu_seconds: float
    latencies: list[float] = field(default_factory=list)

    @property
    def pushes_per_second(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def cpu_seconds_per_push(self) -> float:
        return self.cpu_seconds / len(self.latencies)


class Device:
    """Prebuilt pushes of one device."""

    def __init__(self, secret: str, number: int, newest: int) -> None:
        series: list[wire.Series] = [
            {"name": f"bench_metric_{index:02}", "labels": {"instance": str(index)}} for index in range(VALUES)
        ]
        layout = {"id": wire.layout_id(series), "series": series}
        values = [round(((number * 7919 + index * 104_729) % 100_003) / 97, 4) for index in range(VALUES)]
        self._t = newest
        self._head = (
            f"POST {wire.PUSH_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {secret}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        self._layouts = orjson.dumps([layout])
        self._frame = orjson.dumps({"layout": layout["id"], "v": values})[:-1] + b',"t":'
        self.request = self.next_request(with_layout=True)

    def next_request(self, *, with_layout: bool = False) -> bytes:
        self._t += STEP_MS
        body = b'{"sent":%d,"boot":"b","spool":"s","seq":1,"layouts":%b,"frames":[%b%d}],"events":[]}' % (
            self._t,
            self._layouts if with_layout else b"[]",
            self._frame,
            self._t,
        )
        return self._head + b"%d\r\n\r\n" % len(body) + body


class Connection(asyncio.Protocol):
    """Pushes for its devices in turn, the next as soon as the last was answered."""

    def __init__(self, devices: Sequence[Device], load: "LoadClient") -> None:
        self._devices = devices
        self._turn = 0
        self._load = load
        self._answer = b""
        self._sent = 0.0
        self.stopped = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.stopped.done():
            self.stopped.set_exception(exc or ConnectionError("the server closed the connection"))

    def send(self, request: bytes) -> None:
        self._sent = time.perf_counter()
        self._transport.write(request)

    def start(self) -> None:
        self.stopped = asyncio.get_running_loop().create_future()
        self.send(self._devices[self._turn].next_request())

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head = self._answer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = self._answer.find(b"Content-Length: ")
        if length >= 0 and len(self._answer) < head + 4 + int(self._answer[length + 16 : length + 24].split(b"\r")[0]):
            return
        if not self._answer.startswith(b"HTTP/1.1 200") or b'"acked":null' in self._answer:
            self.stopped.set_exception(RuntimeError(f"unexpected answer: {self._answer[:500]!r}"))
            self._transport.close()
            return
        self._answer = b""
        self._load.answered += 1
        if self._load.is_over:
            self.stopped.set_result(None)
            return
        self._load.latencies.append(time.perf_counter() - self._sent)
        self._turn = (self._turn + 1) % len(self._devices)
        self.send(self._devices[self._turn].next_request())


class LoadClient:
    """Load on one server, over connections that stay open from round to round."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.is_over = False
        self.answered = 0  # all, measured or not
        self.latencies: list[float] = []
        self._connections: list[Connection] = []

    async def connect(self, count: int) -> None:
        newest = int(time.time() * 1000) - START_AGE_MS
        devices = [Device(secret, number, newest) for number, secret in enumerate(self.server.secrets)]
        loop = asyncio.get_running_loop()
        self.is_over = True  # the first pushes, with the layouts, are not measured
        for index in range(count):
            own = devices[index::count]
            _, connection = await loop.create_connection(partial(Connection, own, self), "127.0.0.1", self.server.port)
            for device in own:
                connection.stopped = loop.create_future()
                connection.send(device.request)
                await connection.stopped
            self._connections.append(connection)

    async def run(self, seconds: float) -> Load:
        self.is_over = False
        for connection in self._connections:
            connection.start()
        await asyncio.sleep(WARM_UP_SECONDS)
        self.latencies = []
        started, before, client_before = time.perf_counter(), cpu_seconds_of(self.server.pid), time.process_time()
        await asyncio.sleep(seconds)
        after, ended, client_after = cpu_seconds_of(self.server.pid), time.perf_counter(), time.process_time()
        self.is_over = True
        latencies = self.latencies
        await asyncio.gather(*(connection.stopped for connection in self._connections))
        return Load(ended - started, after - before, client_after - client_before, latencies)


@contextlib.contextmanager
def running(command: Sequence[str], port: int, log: Path) -> Iterator[int]:
    """A server process that listens on `port`, stopped on leaving. Gives its id."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as probe:
                    if probe.getsockname() != probe.getpeername():  # a socket may meet itself where nobody listens
                        break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the server did not start: {log.read_text()}")
                time.sleep(0.05)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)


@contextlib.contextmanager
def bare_server(folder: Path, devices: int) -> Iterator[Server]:
    port = free_port()
    with running([sys.executable, "-m", "bench._bare_server", str(port)], port, folder / "bare.log") as pid:
        yield Server(port, pid, ["s" * 43] * devices)


@contextlib.contextmanager
def collector(folder: Path, devices: int) -> Iterator[Server]:
    """A real collector with so many enrolled devices."""
    port, data, rules = free_port(), folder / "data", folder / "rules"
    rules.mkdir()
    loaded = [RULE.format(index=index, window="1h" if index % 5 == 0 else "5m") for index in range(VALUES // 4)]
    (rules / "bench.yaml").write_text(RULES + "".join(loaded))
    command = [COLLECTOR, "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}", "--rules", str(rules)]
    with running(command, port, folder / "collector.log") as pid:
        at = ["--data", str(data)]
        subprocess.run(
            [COLLECTOR, "customers", "add", "bench", "--name", "Bench", "--plan", "monthly", *at],
            check=True,
            capture_output=True,
        )
        create = [COLLECTOR, "tokens", "create", "--customer", "bench", "--site", "hq", "--kind", "server"]
        made = subprocess.run([*create, "--uses", str(devices), *at], check=True, capture_output=True, text=True)
        token = made.stdout.strip()
        yield Server(port, pid, [enrol(port, token, number) for number in range(devices)])


def enrol(port: int, token: str, number: int) -> str:
    asked: wire.EnrollRequest = {
        "token": token,
        "hostname": f"bench-{number}",
        "kind": "server",
        "machine_id": f"machine-{number}",
        "instance": "0",
        "os": "",
        "arch": "",
        "agent_version": "bench",
    }
    request = urllib.request.Request(f"http://127.0.0.1:{port}{wire.ENROLL_PATH}", orjson.dumps(asked))
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own server
        secret: str = orjson.loads(answer.read())["secret"]
        return secret


def cpu_seconds_of(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    taken: float = times.user + times.system
    return taken


async def idle_cores(pid: int) -> float:
    """What a process takes that has nothing to do, in cores."""
    began, before = time.perf_counter(), cpu_seconds_of(pid)
    await asyncio.sleep(IDLE_SECONDS)
    return (cpu_seconds_of(pid) - before) / (time.perf_counter() - began)


def peak_rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def cores_used(loads: Sequence[Load]) -> dict[str, float]:
    """By the server, and by the load client beside it."""
    return {
        "server": round(statistics.median(load.cpu_seconds / load.seconds for load in loads), 2),
        "client": round(statistics.median(load.client_cpu_seconds / load.seconds for load in loads), 2),
    }


async def measure(folder: Path, seconds: float, connections: int, devices: int) -> dict[str, object]:
    with collector(folder, devices) as real, bare_server(folder, devices) as bare:
        clients = LoadClient(real), LoadClient(bare)
        for client in clients:
            await client.connect(connections)
        rounds: tuple[list[Load], list[Load]] = ([], [])
        answered, taken, began = clients[0].answered, cpu_seconds_of(real.pid), time.perf_counter()
        for _ in range(ROUNDS):
            for client, loads in zip(clients, rounds, strict=True):
                loads.append(await client.run(seconds / ROUNDS))
        await asyncio.sleep(SETTLING_SECONDS)
        answered, taken = clients[0].answered - answered, cpu_seconds_of(real.pid) - taken
        taken -= (time.perf_counter() - began) * await idle_cores(real.pid)
        ours, theirs = rounds
        latencies = sorted(latency for load in ours for latency in load.latencies)
        cuts = statistics.quantiles(latencies, n=100)
        rate = statistics.median(load.pushes_per_second for load in ours)
        bare_rate = statistics.median(load.pushes_per_second for load in theirs)
        cpu_seconds = statistics.median(load.cpu_seconds_per_push for load in ours)
        bare_cpu_seconds = statistics.median(load.cpu_seconds_per_push for load in theirs)
        return {
            "connections": connections,
            "devices": devices,
            "values_per_push": VALUES,
            "pushes": len(latencies),
            "pushes_per_second": round(rate),
            "samples_per_second": round(rate * VALUES),
            "cpu_seconds_per_million_samples": round(cpu_seconds / VALUES * 1e6, 3),
            "cpu_seconds_per_million_samples_until_compacted": round(taken / answered / VALUES * 1e6, 3),
            "cores_used": cores_used(ours),
            "p50_ms": round(cuts[49] * 1000, 1),
            "p99_ms": round(cuts[98] * 1000, 1),
            "peak_rss_mib": round(peak_rss_mib(real.pid), 1),
            "bare_requests_per_second": round(bare_rate),
            "bare_cpu_seconds_per_million_requests": round(bare_cpu_seconds * 1e6, 1),
            "bare_cores_used": cores_used(theirs),
            "cpu_of_bare_to_ours": round(bare_cpu_seconds / cpu_seconds, 3),
            "ratio_to_bare": round(rate / bare_rate, 3),
            "ratio_to_bare_by_round": [
                round(mine.pushes_per_second / bares.pushes_per_second, 3)
                for mine, bares in zip(ours, theirs, strict=True)
            ],
        }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench ingest", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument("--seconds", type=float, default=10.0, help="of measured load on each of the two servers")
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--devices", type=int, default=256, help="at least one for each connection")
    options = parser.parse_args(arguments)
    if options.devices < options.connections:
        parser.error("--devices must be at least --connections")
    with tempfile.TemporaryDirectory(prefix="quarkpulse-bench-") as folder:
        measured = measure(Path(folder), options.seconds, options.connections, options.devices)
        figures = uvloop.run(measured)
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        sys.stdout.writelines(f"{name}: {value}\n" for name, value in figures.items())
    return 0
