"""An agent in a process of its own, what takes its pushes, and what the kernel says that it weighs."""

import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

from agent.service.systemd import FILES
from protocol.models import Config
from protocol.wire import ENROLL_PATH

STATS_PATH = "/stats"
AGENT = str(Path(sys.executable).with_name("quarkpulse-agent"))


class Sink(BaseHTTPRequestHandler):
    """Takes everything, like a collector with nothing else to do."""

    protocol_version = "HTTP/1.1"
    times: ClassVar[list[int]] = []  # of the frames that came, in Unix milliseconds

    def do_GET(self) -> None:
        if self.path == STATS_PATH:
            self.answer(self.stats())
        else:
            self.get()

    def do_POST(self) -> None:
        self.post()

    def get(self) -> None:
        self.answer(Config().model_dump(mode="json"))

    def post(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == ENROLL_PATH:
            now = int(time.time() * 1000)
            config = Config().model_dump(mode="json")
            self.answer({"device_id": "bench-0000", "secret": "s" * 43, "now": now, "config": config})
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = zlib.decompress(body, 31)
        push = json.loads(body)
        self.times.extend(frame["t"] for frame in push["frames"])
        # Its clock is the agent's, which may be ahead of the machine's.
        acknowledgement = {"acked": push["seq"], "now": push["sent"], "need_layouts": [], "refused": []}
        self.answer({**acknowledgement, "config_etag": "bench"})

    def stats(self) -> dict[str, Any]:
        """What `ask_stats` gives."""
        return {"times": self.times}

    def answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("ETag", '"bench"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def serve_over_tls(handler: type[BaseHTTPRequestHandler], certificate: Path, ready: Connection) -> None:
    """Tells its port, then answers until it is killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    ready.send(server.server_address[1])
    server.serve_forever()


@contextlib.contextmanager
def running(target: Callable[..., None], *arguments: object) -> Iterator[int]:
    """The port of what runs in a process of its own."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(*arguments, sender), daemon=True)
    process.start()
    sender.close()  # so that it is an error, and no endless wait, if the process ends before it says its port
    try:
        yield receiver.recv()
    finally:
        process.kill()
        process.join()


@contextlib.contextmanager
def running_sink(certificate: Path) -> Iterator[str]:
    """Its address."""
    with running(serve_over_tls, Sink, certificate) as port:
        yield f"https://localhost:{port}"


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


def enroll_agent(url: str, state: Path, certificate: Path) -> None:
    command = ["enroll", "--collector", url, "--token", "bench", "--state", str(state), "--ca", str(certificate)]
    subprocess.run([AGENT, *command], check=True, capture_output=True)


@contextlib.contextmanager
def running_agent(url: str, state: Path, certificate: Path, options: Sequence[str] = ()) -> Iterator[int]:
    """The process id of an agent that is enrolled at `url` and runs as the shipped service does."""
    enroll_agent(url, state, certificate)
    run = [AGENT, "run", "--state", str(state), *options]
    agent = subprocess.Popen(run, stderr=subprocess.DEVNULL, env=os.environ | service_variables())
    try:
        yield agent.pid
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait(10)


def ask_stats(url: str) -> dict[str, Any]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # its own, of a moment ago
    connection = http.client.HTTPSConnection(url.removeprefix("https://"), context=context, timeout=10)
    connection.request("GET", STATS_PATH)
    found: dict[str, Any] = json.load(connection.getresponse())
    connection.close()
    return found


def service_variables() -> dict[str, str]:
    """What the shipped service sets for the agent."""
    lines = (FILES / "quarkpulse-agent.service").read_text(encoding="utf-8").splitlines()
    pairs = [pair for line in lines if line.startswith("Environment=") for pair in line.partition("=")[2].split()]
    return dict(pair.split("=", 1) for pair in pairs)


def read_memory_kib(pid: int) -> dict[str, int]:
    """Rss, Pss, Anonymous and the like in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def read_cpu_seconds(pid: int) -> float:
    """Of the process, ended threads included: clock ticks are too coarse, so the scheduler's nanoseconds."""
    return time.clock_gettime(~pid << 3 | 2)  # the process's CPU clock, as clock_getcpuclockid(3) makes it
