"""The webhook against a real HTTP server."""

import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from collector.contracts import Priority
from collector.desk.connectors.webhook import MAX_ANSWER_BYTES, Webhook
from collector.desk.delivery import Message, PutOffError, RefusedError
from collector.desk.fields import TicketKind, TicketSource
from collector.desk.reading import Ticket
from collector.desk.states import TicketStatus
from tests.desk.certificates import make_certificate

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECRET = "a secret of the operator's"
TICKET = Ticket(
    number=1001,
    key="acme/device:ws-1/disk_full",
    customer="acme",
    site="hq",
    device="ws-1",
    incident="disk_full",
    rule="DiskFull",
    title="De schijf is vol — 98 %",
    status=TicketStatus.ASSIGNED,
    priority=Priority.P2,
    opened_at=NOW,
    began_at=NOW,
    resolved_at=None,
    closed_at=None,
    touched=False,
    follows=None,
    parent=None,
    unstable_since=None,
    kind=TicketKind.INCIDENT,
    source=TicketSource.ALERT,
    category="storage",
    contact=None,
    impact=None,
    urgency=None,
    assignee="anna",
    escalated_to=None,
    merged_into=None,
)
OPENED = Message("webhook/17", "opened", NOW, "system", {"priority": "P2"}, TICKET)


@dataclass
class Hook:
    url: str
    answer: Callable[[web.Request], web.StreamResponse]
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def connector(self, path: str = "/hook") -> Webhook:
        return Webhook(self.url + path, SECRET, lambda: NOW)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async def handle(request: web.Request) -> web.StreamResponse:
        found.calls.append((dict(request.headers), await request.read()))
        return found.answer(request)

    application = web.Application()
    application.router.add_post("/hook", handle)
    application.router.add_route("*", "/elsewhere", handle)
    async with TestServer(application) as server:
        found = Hook(str(server.make_url("")).rstrip("/"), lambda _: web.Response(status=204))
        yield found


async def test_what_happened_is_posted_and_signed(hook: Hook) -> None:
    await hook.connector().send(OPENED)
    ((headers, body),) = hook.calls
    assert headers["Idempotency-Key"] == "webhook/17"
    fields = dict(part.split("=") for part in headers["Quarkpulse-Signature"].split(","))
    assert fields["t"] == str(int(NOW.timestamp()))
    expected = hmac.new(SECRET.encode(), fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(fields["v1"], expected)
    told = json.loads(body)
    assert {name: told[name] for name in ("kind", "at", "actor", "data")} == {
        "kind": "opened",
        "at": "2026-03-02T09:00:00.000Z",
        "actor": "system",
        "data": {"priority": "P2"},
    }
    ticket = told["ticket"]
    assert (ticket["number"], ticket["title"], ticket["status"], ticket["resolved_at"]) == (
        1001,
        TICKET.title,
        "assigned",
        None,
    )
    await hook.connector().send(OPENED)
    assert hook.calls[1][1] == body


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RefusedError),
        (422, RefusedError),
        (401, PutOffError),
        (404, PutOffError),
        (429, PutOffError),
        (500, PutOffError),
        (503, PutOffError),
    ],
)
async def test_an_answer_that_is_no_success_is_tried_again_unless_the_message_is_wrong(
    hook: Hook, status: int, error: type[Exception]
) -> None:
    hook.answer = lambda _: web.Response(status=status, text=f"no: {SECRET}")
    with pytest.raises(error, match=f"^127.0.0.1: status {status}") as caught:
        await hook.connector().send(OPENED)
    assert SECRET not in str(caught.value)


async def test_a_redirect_is_not_followed(hook: Hook) -> None:
    hook.answer = lambda _: web.Response(status=307, headers={"Location": "/elsewhere"})
    with pytest.raises(PutOffError, match="a redirect, which is not followed"):
        await hook.connector().send(OPENED)
    assert len(hook.calls) == 1


async def test_a_long_answer_is_not_read_to_its_end(hook: Hook) -> None:
    hook.answer = lambda _: web.Response(body=b"x" * (MAX_ANSWER_BYTES * 20))
    await hook.connector().send(OPENED)


async def test_nobody_there_is_tried_again_and_the_address_is_not_told(
    free_port: Callable[[], int],
) -> None:
    with pytest.raises(PutOffError) as caught:
        await Webhook(f"http://127.0.0.1:{free_port()}/secret-path", SECRET, lambda: NOW).send(OPENED)
    assert str(caught.value) == "127.0.0.1: ClientConnectorError"


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = TestServer(web.Application(), scheme="https")
    await server.start_server(ssl=context)
    try:
        with pytest.raises(PutOffError, match="ClientConnectorCertificateError"):
            await Webhook(str(server.make_url("/hook")), SECRET, lambda: NOW).send(OPENED)
    finally:
        await server.close()
