"""A fleet that comes back at once: `python -m bench herd --json [--agents 1000] [--hours 24] [--seconds 110]`.

So many agents were offline for a day, each has a frame a minute spooled, and all reach the collector in the same
moment, without the spread that backing off gives them. The collector is the real one on loopback, durable as always;
the agents are the agent's own Delivery and Uplink, with a connection each, their spools in memory, and a pool of
threads instead of one each: a thousand in one process would measure Python's lock. Meanwhile each makes a live frame
every `--interval` seconds; whoever has one that waits is the first to get a thread.

Told are the requests by second, how long a live frame waits for its acknowledgement, how long an agent went without
one, and when the gaps are filled. Load and collector share the machine.
"""

import argparse
import asyncio
import contextlib
import heapq
import json
import logging
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import psutil
from sqlalchemy import insert

from agent.clock import AgentClock
from agent.delivery import Delivery
from agent.spool import Record
from agent.uplink import Answer, Uplink, UplinkError
from bench._ports import free_port
from bench.ingest import COLLECTOR, RULE, RULES, VALUES, running
from collector.clock import system_clock
from collector.config import DATABASE_NAME
from collector.contracts import load_service_models
from collector.db.database import Database
from collector.db.tables import devices
from collector.fleet.customers import add_customer, ensure_site
from collector.fleet.secrets import hash_secret
from protocol.wire import Frame, Layout, Series, layout_id

MINUTE_MS = 60_000
THREADS = 32
ACTOR = "bench"


class MemorySpool:
    """What a Delivery asks of a spool. The records of all agents are the same but for their times."""

    def __init__(self, name: str, layout: Layout, values: Sequence[list[float | None]], newest_ms: int) -> None:
        self.id = name
        self._layout = layout
        self._values = values
        self._first_ms = newest_ms - len(values) * MINUTE_MS
        self._lock = threading.Lock()
        self._gap = deque(range(1, len(values) + 1))
        self._live: dict[int, int] = {}  # by number, the time of its frame
        self._next = len(values) + 1

    def __len__(self) -> int:
        return len(self._gap) + len(self._live)

    @property
    def gap(self) -> int:
        """Records of the outage that are still here."""
        return len(self._gap)

    @property
    def live(self) -> set[int]:
        with self._lock:
            return set(self._live)

    def append(self, t_ms: int) -> int:
        seq = self.take_seq()
        with self._lock:
            self._live[seq] = t_ms
        return seq

    def newest(self) -> int | None:
        with self._lock:
            return next(reversed(self._live), None) or (self._gap[-1] if self._gap else None)

    def oldest(self, records: int, after: int = 0) -> list[int]:
        with self._lock:
            return [seq for seq in [*islice(self._gap, records), *self._live] if seq > after][:records]

    def latest(self, records: int) -> list[int]:
        with self._lock:
            return [*reversed(self._live), *reversed(self._gap)][:records]

    def take_seq(self) -> int:
        with self._lock:
            self._next += 1
            return self._next - 1

    def read(self, seq: int) -> Record | None:
        with self._lock:
            t = self._live.get(seq, self._first_ms + seq * MINUTE_MS)
        values = self._values[seq % len(self._values)]
        return Record(layouts=[self._layout], frames=[Frame(layout=self._layout["id"], t=t, v=values)], events=[])

    def remove(self, seq: int) -> None:
        with self._lock:
            if self._live.pop(seq, None) is not None:
                return
            if self._gap[0] == seq:
                self._gap.popleft()
            else:
                self._gap.remove(seq)

    def set_aside(self, seq: int) -> None:
        raise RuntimeError(f"record {seq} was refused")


@dataclass(slots=True)
class Second:
    """What happened in one second of the run."""

    answers: Counter[int] = field(default_factory=Counter)  # by status; 0: none
    waited: list[float] = field(default_factory=list)  # seconds, of live frames that were acknowledged


class Log:
    """What all agents measure. Times in seconds since the start."""

    def __init__(self) -> None:
        self.seconds: dict[int, Second] = {}
        self.is_filled = threading.Event()
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._with_gap = 0

    def start(self, agents: int) -> None:
        self._began = time.monotonic()
        self._with_gap = agents

    def now(self) -> float:
        return time.monotonic() - self._began

    def answered(self, status: int) -> None:
        with self._lock:
            self._second().answers[status] += 1

    def acknowledged(self, waited: Sequence[float]) -> None:
        with self._lock:
            self._second().waited += waited

    def filled(self) -> None:
        with self._lock:
            self._with_gap -= 1
            if self._with_gap == 0:
                self.is_filled.set()

    def _second(self) -> Second:
        return self.seconds.setdefault(int(self.now()), Second())


class Animal:
    """One agent of the herd: its own transport, so that answers are counted. One thread at a time steps it."""

    def __init__(self, log: Log, uplink: Uplink, spool: MemorySpool) -> None:
        self.spool = spool
        self.first_live_at: float | None = None
        self.filled_at: float | None = None
        self.longest_without = 0.0  # an acknowledged live frame
        self.step_at = 0.0
        self.is_busy = False
        self._log = log
        self._uplink = uplink
        self._made: dict[int, float] = {}  # live frames that wait
        self._last_live_at = 0.0
        self._delivery = Delivery(self, spool, AgentClock(), boot_id="bench")

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return self._uplink.get(path, headers)

    def post(self, path: str, content: bytes) -> Answer:
        try:
            answer = self._uplink.post(path, content)
        except UplinkError:
            self._log.answered(0)
            raise
        self._log.answered(answer.status)
        return answer

    def make_frame(self) -> None:
        self._made[self.spool.append(int(time.time() * 1000))] = self._log.now()

    def step(self) -> float | None:
        wait_seconds = self._delivery.step()
        now, live = self._log.now(), self.spool.live
        acked = [seq for seq in list(self._made) if seq not in live]
        if acked:
            self._log.acknowledged([now - self._made.pop(seq) for seq in acked])
            self.first_live_at = self.first_live_at or now
            self.longest_without = max(self.longest_without, now - self._last_live_at)
            self._last_live_at = now
        if self.filled_at is None and self.spool.gap == 0:
            self.filled_at = now
            self._log.filled()
        return wait_seconds

    def end(self) -> None:
        self.longest_without = max(self.longest_without, self._log.now() - self._last_live_at)
        self._uplink.close()


class Stampede:
    """Steps the agents when they want to be stepped, as many at once as there are threads."""

    def __init__(self, log: Log, herd: Sequence[Animal], interval: float) -> None:
        self._log = log
        self._herd = herd
        self._interval = interval
        self._changed = threading.Condition()
        self._urgent: deque[int] = deque()  # agents with a new live frame
        self._due: list[tuple[float, int]] = [(0.0, number) for number in range(len(herd))]
        self._frames = [(random.uniform(0.0, interval), number) for number in range(len(herd))]
        heapq.heapify(self._frames)
        self._is_over = False

    def run(self, seconds: float) -> float:
        """Until all gaps are filled, or the time is over; how long it took."""
        self._log.start(len(self._herd))
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        while self._log.now() < seconds:
            at, number = self._frames[0]
            if self._log.is_filled.wait(max(0.0, min(at, seconds) - self._log.now())):
                break
            if self._log.now() >= at:
                heapq.heapreplace(self._frames, (at + self._interval, number))
                self._herd[number].make_frame()
                with self._changed:
                    self._urgent.append(number)
                    self._changed.notify()
        took = self._log.now()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        for thread in threads:
            thread.join()
        for animal in self._herd:
            animal.end()
        return took

    def _work(self) -> None:
        while True:
            with self._changed:
                number = self._take()
                if number is None:
                    return
                animal = self._herd[number]
                animal.is_busy = True
            wait_seconds = animal.step()
            with self._changed:
                animal.is_busy = False
                if wait_seconds is not None:
                    animal.step_at = self._log.now() + wait_seconds
                    heapq.heappush(self._due, (animal.step_at, number))
                self._changed.notify()

    def _take(self) -> int | None:
        """The next agent to step; None: it is over."""
        while not self._is_over:
            for _ in range(len(self._urgent)):
                number = self._urgent.popleft()
                if not self._herd[number].is_busy:
                    return number
                self._urgent.append(number)  # it is stepped right now, and sends its frame next
            if self._due and self._due[0][0] <= self._log.now():
                at, number = heapq.heappop(self._due)
                if not self._herd[number].is_busy and at >= self._herd[number].step_at:
                    return number
                continue  # it was stepped in between, for a live frame
            self._changed.wait(max(0.001, min(self._due[0][0] - self._log.now(), 0.2)) if self._due else 0.2)
        return None


def make_herd(log: Log, address: str, secrets: Sequence[str], records: int, values: int) -> list[Animal]:
    series = [Series(name=f"bench_metric_{number:02}", labels={}) for number in range(values)]
    layout = Layout(id=layout_id(series), series=series)
    rows: list[list[float | None]] = [
        [round(((row * 7919 + column * 104_729) % 100_003) / 97, 4) for column in range(values)]
        for row in range(records)
    ]
    newest = int(time.time() * 1000) - MINUTE_MS
    return [
        Animal(log, Uplink(address, secret=secret), MemorySpool(f"{number:032}", layout, rows, newest))
        for number, secret in enumerate(secrets)
    ]


async def prepare(data: Path, secrets: Sequence[str]) -> None:
    """So many enrolled devices, without the asking: enrolments of one address are limited in rate."""
    now = system_clock()
    async with await Database.open(f"sqlite:///{data / DATABASE_NAME}") as database, database.begin() as connection:
        models = load_service_models()
        await add_customer(
            connection, models, customer="bench", name="Bench", plan="monthly", consent=None, actor=ACTOR, now=now
        )
        await ensure_site(connection, customer="bench", site="hq", actor=ACTOR, now=now)
        common = dict.fromkeys(("os", "arch", "agent_version", "instance"), "bench")
        common |= {"customer": "bench", "site": "hq", "kind": "server"}
        rows = [
            {
                **common,
                "id": f"srv-{number}",
                "hostname": f"srv-{number}",
                "machine_id": f"machine-{number}",
                "secret_hash": hash_secret(secret),
                "enrolled_at": now,
            }
            for number, secret in enumerate(secrets)
        ]
        await connection.execute(insert(devices), rows)


@contextlib.contextmanager
def collector(folder: Path, secrets: Sequence[str]) -> Iterator[tuple[str, psutil.Process]]:
    """A real one that knows these agents; its address."""
    port, data, rules = free_port(), folder / "data", folder / "rules"
    rules.mkdir()
    data.mkdir()
    loaded = [RULE.format(index=index, window="1h" if index % 5 == 0 else "5m") for index in range(VALUES // 4)]
    (rules / "bench.yaml").write_text(RULES + "".join(loaded))
    asyncio.run(prepare(data, secrets))
    command = [COLLECTOR, "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}", "--rules", str(rules)]
    with running(command, port, folder / "collector.log") as pid:
        yield f"http://127.0.0.1:{port}", psutil.Process(pid)


def quantiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    cuts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else [values[0]] * 99
    return {
        "p50": round(cuts[49], 2),
        "p95": round(cuts[94], 2),
        "p99": round(cuts[98], 2),
        "max": round(max(values), 2),
    }


def report(log: Log, herd: Sequence[Animal], took: float) -> dict[str, object]:
    whole = range(int(took) + 1)
    seconds = [log.seconds.get(number, Second()) for number in whole]
    answers = sum((one.answers for one in seconds), Counter[int]())
    filled = [one.filled_at for one in herd if one.filled_at is not None]
    first = [one.first_live_at for one in herd if one.first_live_at is not None]
    return {
        "seconds": round(took, 1),
        "answers": {str(status): count for status, count in sorted(answers.items())},
        "requests_by_second": [one.answers.total() for one in seconds],
        "live_wait_p95_by_second": [quantiles(one.waited).get("p95") for one in seconds],
        "live_wait_seconds": quantiles([waited for one in seconds for waited in one.waited]),
        "agents_without_a_live_frame": len(herd) - len(first),
        "longest_without_live_seconds": quantiles([one.longest_without for one in herd]),
        "agents_filled": len(filled),
        "filled_at_seconds": quantiles(filled),
        "records_left": sum(one.spool.gap for one in herd),
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench herd", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--hours", type=float, default=24.0, help="that each was offline, a frame a minute")
    parser.add_argument("--values", type=int, default=10, help="of a frame")
    parser.add_argument("--interval", type=float, default=15.0, help="seconds between two live frames of an agent")
    parser.add_argument("--seconds", type=float, default=110.0, help="at most")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)  # a thousand agents say the same
    secrets = [f"{number:043}" for number in range(options.agents)]
    log = Log()
    with (
        tempfile.TemporaryDirectory(prefix="quarkpulse-bench-") as folder,
        collector(Path(folder), secrets) as (address, process),
    ):
        herd = make_herd(log, address, secrets, int(options.hours * 60), options.values)
        before = process.cpu_times()
        took = Stampede(log, herd, options.interval).run(options.seconds)
        after = process.cpu_times()
        figures = report(log, herd, took)
        cpu_seconds = after.user + after.system - before.user - before.system
        figures |= {"agents": options.agents, "hours": options.hours, "values": options.values}
        figures["collector_cores"] = round(cpu_seconds / took, 2)
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        sys.stdout.write("".join(f"{name}: {value}\n" for name, value in figures.items()))
    return 0
