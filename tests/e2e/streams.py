"""What keeps pushing while the collector is killed and started again, and knows exactly what was acknowledged."""

import gzip
import http.client
import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from protocol import wire
from tests.e2e.harness import DEADLINE_SECONDS, Collector, Sender, disk_series, now_ms

PAUSE_SECONDS = 0.01  # between pushes of one device, and before one is repeated


class Stream(threading.Thread):
    """One device that makes frames and pushes each, again and again, until it is acknowledged: as the spool does."""

    def __init__(self, sender: Sender, port: int, number: int, stop: threading.Event) -> None:
        super().__init__(name=sender.device_id, daemon=True)
        self.device_id = sender.device_id
        self.acked: dict[int, float] = {}  # value by time
        self.is_in_flight = False
        self.repeated = 0  # pushes whose answer never came
        self.failure = ""
        self._secret = sender.secret
        self._port = port
        self._number = number
        self._stop_asked = stop
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        series = disk_series(f"/srv/{self._number}")
        layout: wire.Layout = {"id": wire.layout_id([series]), "series": [series]}
        times = (max(now_ms(), earliest) for earliest in itertools.count(now_ms()))
        for seq, t in enumerate(times):
            value = 0.95 + self._number / 1_000 + seq / 10_000_000
            frame: wire.Frame = {"layout": layout["id"], "t": t, "v": [value]}
            body = {
                "sent": t,
                "boot": "b",
                "spool": "s",
                "seq": seq,
                "layouts": [layout],
                "frames": [frame],
                "events": [],
            }
            if not self._push_until_acked(json.dumps(body).encode(), seq):
                return
            self.acked[t] = value
            if self._stop_asked.wait(PAUSE_SECONDS):
                break
        self._hang_up()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _push_until_acked(self, body: bytes, seq: int) -> bool:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            try:
                status, answer = self._push(body)
            except (OSError, http.client.HTTPException):
                self._hang_up()
                time.sleep(PAUSE_SECONDS)  # nobody listens just now; there is nothing to await
                continue
            if status == 200 and answer["acked"] == seq and not answer["refused"]:
                return True
            if status not in (429, 503):
                self.failure = f"seq {seq} was answered {status}: {answer}"
                return False
        self.failure = f"seq {seq} was not acknowledged in time"
        return False

    def _push(self, body: bytes) -> tuple[int, dict[str, Any]]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_SECONDS)
        if self._connection.sock is None:
            self._connection.connect()
        headers = {"Authorization": f"Bearer {self._secret}", "Content-Type": "application/json"}
        self.is_in_flight = True
        try:
            self._connection.request("POST", wire.PUSH_PATH, body, headers)
            response = self._connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException):
            self.repeated += 1
            raise
        finally:
            self.is_in_flight = False


@contextmanager
def streaming(collector: Collector, senders: Sequence[Sender]) -> Iterator[list[Stream]]:
    """Streams that push while this is entered; on leaving each has finished its last frame."""
    stop = threading.Event()
    streams = [Stream(sender, collector.port, number, stop) for number, sender in enumerate(senders)]
    for stream in streams:
        stream.start()
    try:
        yield streams
    finally:
        stop.set()
        for stream in streams:
            stream.join(DEADLINE_SECONDS)
    assert [stream.failure for stream in streams if stream.failure or stream.is_alive()] == []


class Witness(ThreadingHTTPServer):
    """Stands between an agent and a collector and notes which frames went by, and which of them were acknowledged.

    While the collector is dead it hangs up on the agent, as the dead collector would."""

    daemon_threads = True

    def __init__(self, collector_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passage)
        self.collector_port = collector_port
        self.pushed: set[int] = set()  # times of frames
        self.acked: set[int] = set()
        self.noting = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """An agent that is killed breaks its connection: no news."""


class _Passage(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _witness(self) -> Witness:
        assert isinstance(self.server, Witness)
        return self.server

    def do_GET(self) -> None:
        self._pass_on(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        times: set[int] = set()
        push: dict[str, Any] = {}
        if self.path == wire.PUSH_PATH:
            push = json.loads(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            times = {frame["t"] for frame in push["frames"]}
            with self._witness.noting:
                self._witness.pushed |= times
        answer = self._pass_on(body)
        if push and answer is not None and json.loads(answer).get("acked") == push["seq"]:
            with self._witness.noting:
                self._witness.acked |= times

    def _pass_on(self, body: bytes) -> bytes | None:
        """The collector's answer, which the agent may or may not live to see; None if there was none."""
        connection = http.client.HTTPConnection("127.0.0.1", self._witness.collector_port, timeout=DEADLINE_SECONDS)
        try:
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return None
        finally:
            connection.close()
        with suppress(OSError):
            self.send_response_only(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)
        return answer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
        pass


@contextmanager
def witnessed(collector: Collector) -> Iterator[Witness]:
    witness = Witness(collector.port)
    thread = threading.Thread(target=witness.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield witness
    finally:
        witness.shutdown()
        thread.join()
        witness.server_close()
