"""A small collector that speaks protocol version 1 over real sockets, keeps what it takes, and fails on demand."""

import contextlib
import json
import socket
import ssl
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from protocol import models, wire

SECRET = "s" * 43
DEVICE_ID = "ws-reception-7k3p"


class Reply:
    """What to answer instead of doing the work."""

    def __init__(
        self, status: int, body: bytes | dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> None:
        self.status = status
        self.body = (
            json.dumps(
                {"error": "scripted", "message": "as the test wants", "details": []} if body is None else body
            ).encode()
            if not isinstance(body, bytes)
            else body
        )
        self.headers = headers or {}


LOGIN_PAGE = b"<!doctype html><title>Welcome to our hotel</title>"


class Collector:
    """Takes pushes as the real one does; `script` holds replies for the next pushes, `reject` may refuse by content."""

    def __init__(self, *, certificate: Path | None = None, client_ca: Path | None = None) -> None:
        self.script: deque[Reply] = deque()
        self.reject: Callable[[models.Push], Reply | None] = lambda _: None
        self.ahead_seconds = 0.0  # this collector's clock against the machine's
        self.config: dict[str, Any] = models.Config().model_dump(mode="json")  # to be changed before its ETag
        self.config_etag = "first"
        self.enroll_reply: Reply | None = None
        self.config_reply: Reply | None = None  # to the question for the configuration
        self.pushes: list[models.Push] = []  # acknowledged
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.layouts: dict[str, models.Layout] = {}
        self.enrolled: list[models.EnrollRequest] = []
        self.on_enroll: Callable[[], None] = lambda: None  # called while the agent waits for its answer
        self.connections = 0
        self._open: list[socket.socket] = []
        self._changed = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                collector.connections += 1
                collector._open.append(self.connection)

            def do_GET(self) -> None:
                collector._get(self)

            def do_POST(self) -> None:
                collector._post(self)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(int(collector.now_seconds()))

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # an agent that was killed

        self._server = Server(("127.0.0.1", 0), Handler)
        scheme = "http"
        if certificate is not None:
            scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            if client_ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(client_ca)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self.drop_connections()
        self._thread.join()
        self._server.server_close()

    def drop_connections(self) -> None:
        """Close them as a proxy does that has waited long enough."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def now_seconds(self) -> float:
        return time.time() + self.ahead_seconds

    @property
    def frames(self) -> list[models.Frame]:
        return [frame for push in list(self.pushes) for frame in push.frames]

    @property
    def events(self) -> list[models.Event]:
        return [event for push in list(self.pushes) for event in push.events]

    @property
    def newest(self) -> models.Frame:
        """The agent's own frame of the latest time. It need not have come last: what is live goes first."""
        return max((frame for frame in self.frames if frame.device is None), key=lambda frame: frame.t)

    def values(self, frame: models.Frame) -> dict[str, float | None]:
        """By metric name, of series without labels."""
        series = self.layouts[frame.layout].series
        return {one.name: value for one, value in zip(series, frame.v, strict=True) if not one.labels}

    def wait_for(self, condition: Callable[["Collector"], bool], timeout_seconds: float = 60.0) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), timeout_seconds), "the agent did not do it in time"

    def _get(self, handler: BaseHTTPRequestHandler) -> None:
        self._note(handler)
        if self.config_reply is not None:
            self._answer(handler, self.config_reply)
            return
        etag = f'"{self.config_etag}"'  # first: what a test changes before the ETag is in what is sent with that
        if handler.headers.get("If-None-Match") == etag:
            self._answer(handler, Reply(304, b"", {"ETag": etag}))
        else:
            self._answer(handler, Reply(200, self.config, {"ETag": etag}))

    def _post(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        if handler.headers.get("Content-Encoding") == "gzip":
            body = zlib.decompress(body, 31)
        with self._changed:
            self._note(handler)
            reply = self._enroll(body) if handler.path == wire.ENROLL_PATH else self._push(handler, body)
            self._changed.notify_all()
        self._answer(handler, reply)

    def _note(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append((handler.command, handler.path, dict(handler.headers)))

    def _enroll(self, body: bytes) -> Reply:
        self.enrolled.append(models.EnrollRequest.model_validate_json(body))
        self.on_enroll()
        return self.enroll_reply or Reply(
            200,
            {"device_id": DEVICE_ID, "secret": SECRET, "now": int(self.now_seconds() * 1000), "config": self.config},
        )

    def _push(self, handler: BaseHTTPRequestHandler, body: bytes) -> Reply:
        if self.script:
            return self.script.popleft()
        assert handler.headers["Authorization"] == f"Bearer {SECRET}"
        push = models.Push.model_validate_json(body)
        refusal = self.reject(push)
        if refusal is not None:
            return refusal
        self.layouts |= {layout.id: layout for layout in push.layouts}
        needed = sorted({frame.layout for frame in push.frames} - self.layouts.keys())
        if not needed:
            self.pushes.append(push)
        return Reply(
            200,
            {
                "acked": None if needed else push.seq,
                "now": int(self.now_seconds() * 1000),
                "need_layouts": needed,
                "refused": [],
                "config_etag": f'"{self.config_etag}"',
            },
        )

    def _answer(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        handler.send_response_only(reply.status)
        for name, value in {"Date": handler.date_time_string(), **reply.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        handler.wfile.write(reply.body)
