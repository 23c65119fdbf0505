"""Containers, from a socket that answers as Docker's API is documented to, and from some that do not."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from agent.probes.base import ProbeFailed, ProbeUnavailable, Sample
from agent.probes.containers import PATH, ContainerProbe, containers_of

TOLD = [
    {"Id": "a" * 64, "Names": ["/db"], "State": "running", "Status": "Up 3 hours (healthy)"},
    {"Id": "b" * 64, "Names": ["/web", "/other/web"], "State": "running", "Status": "Up 3 hours (unhealthy)"},
    {"Id": "c" * 64, "Names": ["/job"], "State": "exited", "Status": "Exited (1) 2 days ago"},
    {"Id": "d" * 64, "Names": ["/new"], "State": "running", "Status": "Up 2 seconds (health: starting)"},
    {"Id": "e" * 64, "Names": ["/clever_hopper"], "State": "running", "Status": "Up 1 second"},
]
Respond = Callable[[BaseHTTPRequestHandler], None]


def reply(status: int, body: bytes) -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status if handler.path == PATH else 404)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        try:
            handler.wfile.write(body)
        except OSError:
            return

    return respond


@contextmanager
def engine(folder: Path, respond: Respond) -> Iterator[Path]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            respond(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    path = folder / "docker.sock"
    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield path
        finally:
            server.shutdown()
            thread.join()


def test_which_run_and_which_are_ill(tmp_path: Path) -> None:
    with engine(tmp_path, reply(200, json.dumps(TOLD).encode())) as path:
        samples = ContainerProbe((tmp_path / "absent.sock", path)).sample()
    by_state = {one.labels["container_state"]: one.value for one in samples if one.name == "container_count"}
    assert by_state == {"running": 4, "restarting": 0, "paused": 0, "exited": 1, "created": 0, "dead": 0}
    assert [one for one in samples if one.name != "container_count"] == [
        Sample("container_up", 1, {"container_name": "db"}),
        Sample("container_healthy", 1, {"container_name": "db"}),
        Sample("container_up", 0, {"container_name": "job"}),
        Sample("container_up", 1, {"container_name": "new"}),
        Sample("container_up", 1, {"container_name": "web"}),
        Sample("container_healthy", 0, {"container_name": "web"}),
    ]


@pytest.mark.parametrize(
    "respond",
    [
        reply(500, b"{}"),
        reply(200, b"[" * 100_000),
        reply(200, b" " * (5 << 20)),
        lambda handler: handler.wfile.write(b"\x00\xff no http"),
    ],
    ids=["error", "no json", "huge", "rubbish"],
)
def test_an_engine_that_misbehaves_is_a_failed_probe(tmp_path: Path, respond: Respond) -> None:
    with engine(tmp_path, respond) as path, pytest.raises(ProbeFailed):
        ContainerProbe((path,)).sample()


def test_without_a_socket_there_is_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(ProbeUnavailable, match="no socket"):
        ContainerProbe((tmp_path / "absent.sock",)).sample()


@pytest.mark.parametrize(
    "told", [None, {}, "x", [None, 3, {"Names": "x"}, {"Names": [7], "Id": 5}, {"State": "running"}]]
)
def test_what_makes_no_sense_is_left_out(told: object) -> None:
    assert [one.name for one in containers_of(told)] in ([], ["x"])
