"""Real processes on real ports, driven as an operator and a sender would: command lines and HTTP, nothing else.

Those of the collector are forked from one that has loaded the program already (warm.py)."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bench._ports import free_port
from protocol import wire
from tests.agent.patience import PATIENT_AGENT
from tests.e2e import warm

T = TypeVar("T")

PROGRAMS = Path(sys.executable).parent
DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.2  # a command that asks takes a twentieth of a second

# Fires while a series that the test pushes is above the customer's limit.
DISK_RULES = """\
groups:
  - name: e2e
    interval: 1s
    rules:
      - alert: DiskFull
        expr: system_filesystem_utilization_ratio{system_filesystem_state="used"} > 0.9
        for: 2s
        labels: {severity: major, category: disk}
        annotations:
          summary: "{{ $labels.system_filesystem_mountpoint }} is {{ $value | humanizePercentage }} full"
"""


def eventually(ask: Callable[[], T | None], what: str, *, seconds: float = DEADLINE_SECONDS) -> T:
    """Asks a process again and again until it gives a true answer; fails when the time is over.

    The pause between two questions is no guess of how long something takes: another process has no event that could be
    awaited here."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}; last answer: {answer!r}")
        time.sleep(POLL_SECONDS)


def now_ms() -> int:
    return int(time.time() * 1000)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Collector:
    """`quarkpulse-collector serve` on one data folder; may be killed and started again on the same port."""

    folder: Path
    rules: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | warm.Program | None = None
    program: Sequence[str | Path] = ()  # to start instead
    tokens: dict[str, str] = field(default_factory=dict)  # by customer, each good for many devices
    viewer: str = ""  # a token that may read, once somebody has read

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "serve.log").read_text()

    def configure(self, more: str) -> None:
        """These lines at the end of its config.toml."""
        self.data.mkdir(exist_ok=True)
        with (self.data / "config.toml").open("a") as file:
            file.write(more)

    def start(self, *, ready: bool = True) -> None:
        serve: list[str | Path] = [
            "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}", "--rules", self.rules,
        ]  # fmt: skip
        with (self.folder / "serve.log").open("ab") as log:
            if self.program:
                command = [*self.program, *serve]
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            else:
                self.process = warm.Program(serve, log, log)
        if ready:
            eventually(self._is_ready, "the collector to be ready")

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"serve ended:\n{self.log}"
        try:
            return self.request("GET", "/readyz").status == 200
        except OSError:
            return False

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(DEADLINE_SECONDS)
            self.process = None

    def request(
        self, method: str, path: str, body: object = None, *, secret: str | None = None, **headers: str
    ) -> Answer:
        """One HTTP request; `body` is sent as it is if bytes, else as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        payload = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if secret is not None:
            named["Authorization"] = f"Bearer {secret}"
        try:
            connection.request(method, path, payload, named)
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())
        finally:
            connection.close()

    def run(self, *arguments: str) -> str:
        """One command of the command line, on this collector's data."""
        done = warm.run([*arguments, "--data", self.data], timeout=DEADLINE_SECONDS)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def told(self, path: str) -> list[dict[str, Any]]:
        """The first page of a list of the API. Unlike a command it costs next to nothing, so it may be asked often."""
        if not self.viewer:
            self.viewer = self.run("tokens", "create", "--role", "viewer").strip()
            eventually(lambda: self._list(path).status != 401, "the collector to know the token")
        answer = self._list(path)
        assert answer.status == 200, answer.text
        items: list[dict[str, Any]] = answer.json["items"]
        return items

    def _list(self, path: str) -> Answer:
        return self.request("GET", f"/api/desk/v1/{path}", secret=self.viewer)

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.run(*arguments, "--json"))
        return rows

    def add_customers(self) -> None:
        """acme on the monthly plan, bakkerij on break/fix."""
        consent = ("--monitoring-consent", "J. Jansen, 2026-01-05")
        self.run("customers", "add", "acme", "--name", "Acme BV", "--plan", "monthly")
        self.run("customers", "add", "bakkerij", "--name", "Bakkerij Jansen", "--plan", "break_fix", *consent)

    def token(self, customer: str, *, uses: int = 1, kind: str = "server") -> str:
        created = ("--customer", customer, "--site", "hq", "--kind", kind, "--uses", str(uses))
        return self.run("tokens", "create", *created).strip()

    def enrol(self, customer: str, hostname: str = "ws-1") -> "Sender":
        if customer not in self.tokens:
            self.tokens[customer] = self.token(customer, uses=100)
        request: wire.EnrollRequest = {
            "token": self.tokens[customer],
            "hostname": hostname,
            "kind": "server",
            "machine_id": uuid.uuid4().hex,
            "instance": "0",
            "os": "Debian 12",
            "arch": "x86_64",
            "agent_version": "test",
        }
        answer = self.request("POST", wire.ENROLL_PATH, request)
        assert answer.status == 200, answer.text
        return Sender(self, answer.json["device_id"], answer.json["secret"])


@dataclass
class Sender:
    """An enrolled device whose readings the test makes up."""

    collector: Collector
    device_id: str
    secret: str
    seq: int = 0

    def push(self, frames: Sequence[wire.Frame], layouts: Sequence[wire.Layout] = (), **more: object) -> Answer:
        self.seq += 1
        body = {
            "sent": now_ms(),
            "boot": "boot-1",
            "spool": f"spool-{self.device_id}",
            "seq": self.seq,
            "layouts": list(layouts),
            "frames": list(frames),
            "events": [],
            **more,
        }
        return self.collector.request("POST", wire.PUSH_PATH, body, secret=self.secret)

    def push_value(self, series: wire.Series, value: float, *, t: int | None = None) -> Answer:
        layout: wire.Layout = {"id": wire.layout_id([series]), "series": [series]}
        frame: wire.Frame = {"layout": layout["id"], "t": now_ms() if t is None else t, "v": [value]}
        return self.push([frame], [layout])

    def push_disk(self, ratio: float) -> Answer:
        return self.push_value(disk_series(), ratio)


def disk_series(mountpoint: str = "/srv") -> wire.Series:
    labels = {"system_filesystem_mountpoint": mountpoint, "system_filesystem_state": "used", "system_device": "sda1"}
    return {"name": "system_filesystem_utilization_ratio", "labels": labels}


@contextmanager
def collector_in(
    folder: Path, rules: str = DISK_RULES, *, start: bool = True, database_url: str | None = None
) -> Iterator[Collector]:
    """A collector with one rule file, running; ended whatever happens. Its state is in a file of its data folder, or at
    `database_url`."""
    (folder / "rules").mkdir()
    (folder / "rules" / "e2e.yaml").write_text(rules)
    collector = Collector(folder, folder / "rules")
    try:
        if database_url is not None:
            collector.configure(f'database_url = "{database_url}"\n')
        if start:
            collector.start()
        yield collector
    finally:
        collector.kill()


@contextmanager
def agent_process(state: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`quarkpulse-agent run`, with patience, on an enrolled state folder; stopped as a service manager would."""
    command: list[str | Path] = [*PATIENT_AGENT, "run", "--state", state, *arguments]
    with (state.parent / f"{state.name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(DEADLINE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def enrol_agent(collector: Collector, customer: str, state: Path, *, through: str | None = None) -> None:
    """`quarkpulse-agent enroll`, as on a client machine; `through` is the address to use instead of the collector's."""
    done = subprocess.run(
        [
            PROGRAMS / "quarkpulse-agent", "enroll",
            "--collector", through or collector.url, "--token", collector.token(customer), "--state", state,
        ],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
