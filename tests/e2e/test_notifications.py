"""From an alert to a webhook: a ticket is assigned by itself, and what happens to it is told, over a `kill -9`."""

import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import collector_in, eventually

SECRET = "known to both sides"
SIGNATURE = "Quarkpulse-Signature"


@dataclass
class Hook:
    url: str = ""
    is_down: bool = False
    tries: int = 0
    got: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    def take(self, key: str, told: dict[str, Any]) -> None:
        """Each once: an answer that comes too late is as good as none, and then it is told again."""
        if key not in self.keys:
            self.keys.add(key)
            self.got.append(told)

    def told(self, kind: str) -> dict[str, Any] | None:
        return next((one for one in self.got if one["kind"] == kind), None)


@contextmanager
def hook() -> Iterator[Hook]:
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.tries += 1
            if not found.is_down:
                seconds, signed = (part.partition("=")[2] for part in self.headers[SIGNATURE].split(","))
                expected = hmac.digest(SECRET.encode(), f"{seconds}.".encode() + body, "sha256").hex()
                assert hmac.compare_digest(signed, expected)
                found.take(self.headers["Idempotency-Key"], json.loads(body))
            self.send_response(503 if found.is_down else 204)
            self.end_headers()

        def log_message(self, format: str, *_arguments: object) -> None:  # noqa: A002 - as http.server names it
            """Not on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        found.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# It waits for the outbox to try again, which tests/desk does on both, by a clock of its own.
@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.slow
def test_a_ticket_is_assigned_and_told_of_once_also_over_a_kill(tmp_path: Path, database_url: str) -> None:
    with hook() as receiver, collector_in(tmp_path, start=False, database_url=database_url) as collector:
        collector.configure(f'webhook_url = "{receiver.url}"\nwebhook_secret = "{SECRET}"\n')
        collector.add_customers()
        always = ("--hours", "Mon-Sun 00:00-24:00", "--holidays", "none")
        collector.run("technicians", "add", "anna", "--name", "Anna", *always)
        collector.start()
        device = collector.enrol("acme")

        def told(kind: str) -> dict[str, Any] | None:
            device.push_disk(0.99)
            return receiver.told(kind)

        eventually(lambda: told("assigned"), "the webhook to hear of the assignment")
        assert [one["kind"] for one in receiver.got] == ["opened", "assigned"]
        number = receiver.got[0]["ticket"]["number"]
        assert receiver.got[1]["data"]["to"] == "anna" and "at work" in receiver.got[1]["data"]["reason"]

        receiver.is_down = True
        tries = receiver.tries
        collector.run("technicians", "add", "bob", "--name", "Bob", *always)
        collector.run("tickets", "assign", str(number), "bob")
        eventually(lambda: receiver.tries > tries, "the webhook to be tried")
        collector.kill()
        receiver.is_down = False
        collector.start()
        eventually(lambda: len(receiver.got) == 3 or None, "the webhook to hear of it after the kill", seconds=120)
        assert receiver.got[2]["data"]["to"] == "bob"
        eventually(lambda: collector.rows("outbox", "list") == [], "the answer to be known")
        assert [one["kind"] for one in receiver.got] == ["opened", "assigned", "assigned"]
