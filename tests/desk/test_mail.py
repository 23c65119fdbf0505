"""Mail against a real SMTP server."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from pydantic import SecretStr
from sqlalchemy import insert, update

from bench._ports import free_port
from collector.db.database import Database
from collector.db.tables import alerts, contacts, customers, ticket_watchers, tickets
from collector.desk.connectors.mail import Mail, MailSecurity, MailServer
from collector.desk.connectors.mail_text import mail_text
from collector.desk.delivery import Message, PutOffError, RefusedError
from collector.desk.technicians import Profile, add_technician
from tests.desk.certificates import make_certificate
from tests.desk.test_webhook import TICKET

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LOGIN = ("quarkpulse", SecretStr("a password"))


class Inbox:
    """What the server got. It refuses addresses as told, with a status."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refused: dict[str, str] = {}

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=default)
        assert envelope.rcpt_tos == [str(mail["To"])]
        self.mails.append(mail)
        return "250 OK"


@contextmanager
def smtp_server(inbox: Inbox, **more: Any) -> Iterator[MailServer]:
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port(), ready_timeout=60.0, **more)
    controller.start()
    try:
        yield MailServer("127.0.0.1", controller.port, MailSecurity.NONE, "desk@provider.example")
    finally:
        controller.stop()


@pytest.fixture(name="database")
async def database_with_people(database: Database) -> AsyncIterator[Database]:
    """A ticket that anna has, and that bob, a contact and a stranger watch."""
    async with database.begin() as connection:
        await connection.execute(insert(customers).values(id="acme", name="Acme BV", created_at=NOW))
        for name, language, groups in (("anna", "nl", ()), ("bob", "en", ()), ("carl", "en", ("second-line",))):
            profile = Profile(name.title(), f"{name}@provider.example", language, groups=groups)
            await add_technician(connection, name, profile, actor="eve", now=NOW)
        kim = {"customer": "acme", "name": "Kim", "email": "kim@acme.example", "language": "en", "created_at": NOW}
        await connection.execute(insert(contacts).values(kim))
        ticket = {name: getattr(TICKET, name) for name in type(TICKET).__annotations__}
        await connection.execute(insert(tickets).values(ticket))
        for watcher in ("bob", "kim@acme.example", "jan@elsewhere.example"):
            await connection.execute(insert(ticket_watchers).values(ticket=1001, watcher=watcher))
    yield database


def happened(kind: str, **data: object) -> Message:
    return Message("mail/17", kind, NOW, "system", data, replace(TICKET, escalated_to="second-line"))


async def test_everybody_concerned_is_written_to_in_their_language(database: Database) -> None:
    inbox = Inbox()
    with smtp_server(inbox) as server:
        mail = Mail(server, database, lambda: NOW)
        await mail.send(happened("commented", text="Wij kijken ernaar.\n.\nEen punt", public=True))
        first = [str(one["Message-ID"]) for one in inbox.mails]
        await mail.send(happened("commented", text="Wij kijken ernaar.\n.\nEen punt", public=True))
    assert [str(one["Message-ID"]) for one in inbox.mails[4:]] == first  # who keeps mail by its id sees no repeat
    by_address = {str(one["To"]): one for one in inbox.mails}
    assert {address: str(one["Subject"]).split(":")[0] for address, one in by_address.items()} == {
        "anna@provider.example": "[#1001] reactie",
        "bob@provider.example": "[#1001] comment",
        "jan@elsewhere.example": "[#1001] reactie",
        "kim@acme.example": "[#1001] comment",
    }
    anna = by_address["anna@provider.example"]
    assert (anna["From"], anna["Auto-Submitted"]) == ("desk@provider.example", "auto-generated")
    text = anna.get_content()
    assert "> Wij kijken ernaar.\n> .\n> Een punt\n" in text.replace("\r\n", "\n")
    assert f"1001: {TICKET.title}" in text


async def test_who_reported_it_is_told_cause_and_solution_and_asked_how_it_went(database: Database) -> None:
    async with database.begin() as connection:
        jo = {"customer": "acme", "name": "Jo", "email": "jo@acme.example", "language": "nl", "created_at": NOW}
        contact = await connection.scalar(insert(contacts).values(jo).returning(contacts.c.id))
        told = {"contact": contact, "cause": "De logs waren vol.", "solution": "Ze worden nu\nopgeruimd."}
        await connection.execute(update(tickets).values(told))
    inbox = Inbox()
    with smtp_server(inbox) as server:
        mail = Mail(server, database, lambda: NOW)
        for kind in ("resolved", "breached"):
            await mail.send(replace(happened(kind, clock="response"), ticket=replace(TICKET, contact=contact)))
    texts = {str(one["To"]): one.get_content().replace("\r\n", "\n") for one in inbox.mails if "op" in one["Subject"]}
    jos = [one for one in inbox.mails if one["To"] == "jo@acme.example"]
    assert [str(one["Subject"]).split(":")[0] for one in jos] == [
        "[#1001] opgelost"
    ]  # being late is no business of hers
    assert (
        "> De logs waren vol.\n" in texts["jo@acme.example"]
        and "> Ze worden nu\n> opgeruimd.\n" in texts["jo@acme.example"]
    )
    assert "Laat het ons weten." in texts["jo@acme.example"]
    assert "De logs waren vol." in texts["anna@provider.example"] and "Laat het" not in texts["anna@provider.example"]


async def test_a_customers_people_read_what_it_is_about_in_words_of_their_own(database: Database) -> None:
    annotations = {"customer_summary_nl": "De schijf raakt vol.", "customer_summary_en": "The disk is filling up."}
    async with database.begin() as connection:
        for fingerprint, told in (("1", annotations), ("2", {})):
            alert: dict[str, object] = {
                "rule_key": "r",
                "fingerprint": fingerprint,
                "rule": "Full",
                "rule_version": "1",
                "labels": {},
            }
            alert |= {"annotations": told, "state": "firing", "active_since": NOW, "outcome": "ticket", "reason": ""}
            await connection.execute(insert(alerts).values(alert | {"ticket": 1001}))
    inbox = Inbox()
    with smtp_server(inbox) as server:
        await Mail(server, database, lambda: NOW).send(happened("opened"))
    texts = {str(one["To"]): one.get_content() for one in inbox.mails}
    assert "The disk is filling up." in texts["kim@acme.example"]
    assert "De schijf raakt vol." in texts["jan@elsewhere.example"]
    assert not any("disk is filling" in texts[f"{ours}@provider.example"] for ours in ("anna", "bob"))


async def test_who_looks_after_late_tickets_hears_of_them_and_nobody_outside(database: Database) -> None:
    inbox = Inbox()
    with smtp_server(inbox) as server:
        await Mail(server, database, lambda: NOW).send(happened("escalated", to="second-line", reason="late"))
    assert [str(one["To"]).split("@")[0] for one in inbox.mails] == ["anna", "bob", "carl"]
    assert "escalated to second-line: late" in inbox.mails[2].get_content()


async def test_one_address_that_is_not_taken_is_tried_again_with_all(database: Database) -> None:
    inbox = Inbox()
    inbox.refused = {"kim@acme.example": "550 no such user", "jan@elsewhere.example": "451 later"}
    with smtp_server(inbox) as server:
        mail = Mail(server, database, lambda: NOW)
        with pytest.raises(PutOffError, match="2 of 4 not taken"):
            await mail.send(happened("resolved"))
        assert len(inbox.mails) == 2
        inbox.refused["jan@elsewhere.example"] = "550 no such user"
        with pytest.raises(RefusedError, match="2 of 4 not taken"):
            await mail.send(happened("resolved"))


async def test_a_server_that_is_not_there_is_tried_again(database: Database) -> None:
    with smtp_server(Inbox()) as server:
        pass
    with pytest.raises(PutOffError, match="ConnectionRefusedError"):
        await Mail(server, database, lambda: NOW).send(happened("resolved"))


@pytest.mark.parametrize("security", [MailSecurity.STARTTLS, MailSecurity.TLS])
async def test_the_connection_is_protected_and_the_user_logs_in(
    database: Database, tmp_path: Path, security: MailSecurity
) -> None:
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    trust = ssl.create_default_context(cafile=str(certificate))
    logins = []

    def authenticate(
        _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"a password", handled=False)

    how: dict[str, Any] = {"authenticator": authenticate, "auth_required": True}
    if security is MailSecurity.STARTTLS:
        how |= {"tls_context": context, "require_starttls": True}
    else:
        how |= {"ssl_context": context, "auth_require_tls": False, "auth_required": False}
    inbox = Inbox()
    with smtp_server(inbox, **how) as server:
        protected = replace(server, security=security, login=LOGIN)
        await Mail(protected, database, lambda: NOW, trust=trust).send(happened("resolved"))
        assert len(inbox.mails) == 4 and logins == [(b"quarkpulse", b"a password")]
        with pytest.raises(PutOffError, match="SSLCertVerificationError"):  # not vouched for
            await Mail(protected, database, lambda: NOW).send(happened("resolved"))
        wrong = replace(protected, login=("quarkpulse", SecretStr("wrong")))
        with pytest.raises(PutOffError, match="status 535"):
            await Mail(wrong, database, lambda: NOW, trust=trust).send(happened("resolved"))
    assert "a password" not in repr(protected)


async def test_nothing_that_comes_from_outside_adds_a_line_to_the_head(database: Database) -> None:
    evil = replace(TICKET, title="Disk\r\nBcc: all@example.com\n\nhello")
    inbox = Inbox()
    with smtp_server(inbox) as server:
        await Mail(server, database, lambda: NOW).send(Message("mail/1", "resolved", NOW, "system", {}, evil))
    assert all(one["Bcc"] is None and "all@example.com" in str(one["Subject"]) for one in inbox.mails)
    async with database.begin() as connection:
        await connection.execute(insert(ticket_watchers).values(ticket=1001, watcher="x@y.example\nBcc: z@y.example"))
    inbox.mails.clear()
    with smtp_server(inbox) as server:
        await Mail(server, database, lambda: NOW).send(happened("resolved"))
    assert len(inbox.mails) == 4 and all(one["Bcc"] is None for one in inbox.mails)


@pytest.mark.parametrize("language", ["nl", "en", "fr"])
@pytest.mark.parametrize(
    "kind", ["opened", "assigned", "commented", "escalated", "warned", "breached", "resolved", "reopened"]
)
def test_every_kind_has_its_words(kind: str, language: str) -> None:
    data = {"to": "bob", "reason": "late", "text": "hello", "clock": "response"}
    text = mail_text(happened(kind, **data), language)
    assert text.subject.startswith("[#1001] ") and "{" not in text.body and "acme" in text.body
