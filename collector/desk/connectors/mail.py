"""Tells people by mail (SMTP) what happened to their tickets."""

import asyncio
import hashlib
import logging
import smtplib
import ssl
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from enum import StrEnum
from typing import Protocol

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.clock import Clock
from collector.desk.connectors.mail_text import NO_TEXTS, MailText, mail_text
from collector.desk.customer_words import customer_summary_of
from collector.desk.delivery import Message, PutOffError, RefusedError
from collector.desk.recipients import TO_GROUP, recipients_of
from collector.desk.resolving import texts_of

logger = logging.getLogger(__name__)

SOCKET_SECONDS = 10.0  # less than a delivery may take, since a thread cannot be stopped
AT_ONCE = 4
PERMANENT = range(500, 600)


class MailSecurity(StrEnum):
    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MailServer:
    host: str
    port: int
    security: MailSecurity
    sender: str
    login: tuple[str, SecretStr] | None = None  # user and password


class Database(Protocol):
    def connect(self) -> AbstractAsyncContextManager[AsyncConnection]: ...


class Mail:
    """`trust` checks the server's certificate; by default with the system's authorities."""

    name = "mail"

    def __init__(
        self, server: MailServer, database: Database, clock: Clock, *, trust: ssl.SSLContext | None = None
    ) -> None:
        self._server = server
        self._database = database
        self._clock = clock
        self._trust = trust or ssl.create_default_context()
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def send(self, message: Message) -> None:
        """One mail for each recipient, in his or her language. If one of several is not taken, all are tried again,
        with the same Message-IDs. Without a recipient it is done. Raises PutOffError or RefusedError."""
        async with self._database.connect() as connection:
            found = await recipients_of(connection, message.ticket, message.kind, self._clock())
            is_over = message.kind == "resolved"
            solution = await texts_of(connection, message.ticket.number) if is_over else NO_TEXTS
            summary = await customer_summary_of(connection, message.ticket.number)
        if not found:
            if message.kind in TO_GROUP:
                logger.warning("late, and nobody to write to: ticket=%d kind=%s", message.ticket.number, message.kind)
            return
        mails = []
        for one in found:
            address = _address(one.address)
            if address is None:
                logger.warning("a watcher's address is no address, left out: ticket=%d", message.ticket.number)
            else:
                told = None if one.is_ours else summary.in_language(one.language)
                text = mail_text(message, one.language, solution, is_ours=one.is_ours, summary=told)
                mails.append(self._mail(message, address, one.language, text))
        async with self._turn:
            await asyncio.to_thread(self._deliver, mails)

    def _mail(self, message: Message, to: Address, language: str, text: MailText) -> EmailMessage:
        domain = self._server.sender.rpartition("@")[2]
        to_one = hashlib.sha256(f"{message.key} {to.addr_spec}".encode()).hexdigest()[:32]
        thread = f"<ticket-{message.ticket.number}@{domain}>"
        mail = EmailMessage(policy=SMTP)
        mail["From"] = Address(addr_spec=self._server.sender)
        mail["To"] = to
        mail["Subject"] = text.subject
        mail["Date"] = message.at
        mail["Message-ID"] = f"<{to_one}@{domain}>"
        mail["References"] = thread
        mail["In-Reply-To"] = thread
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers from holidays
        mail["Content-Language"] = language
        mail.set_content(text.body)
        return mail

    def _deliver(self, mails: Sequence[EmailMessage]) -> None:
        """In a thread."""
        try:
            with self._connected() as client:
                refused = [problem for mail in mails if (problem := _offer(client, mail)) is not None]
        except smtplib.SMTPResponseException as error:  # of the connection: greeting, STARTTLS, login
            raise PutOffError(f"{self._server.host}: status {error.smtp_code}") from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise PutOffError(f"{self._server.host}: {type(error).__name__}") from None
        if not refused:
            return
        if all(code in PERMANENT for code in refused):
            raise RefusedError(f"{self._server.host}: status {refused[0]}, {len(refused)} of {len(mails)} not taken")
        raise PutOffError(f"{self._server.host}: status {max(refused)}, {len(refused)} of {len(mails)} not taken")

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        if server.security is MailSecurity.TLS:
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=SOCKET_SECONDS, context=self._trust
            )
        else:
            client = smtplib.SMTP(server.host, server.port, timeout=SOCKET_SECONDS)
        try:
            if server.security is MailSecurity.STARTTLS:
                client.starttls(context=self._trust)
            if server.login is not None:
                user, password = server.login
                client.login(user, password.get_secret_value())
        except BaseException:
            client.close()
            raise
        return client


def _address(text: str) -> Address | None:
    """None for what is no single address: it must not add a line to the head."""
    try:
        return Address(addr_spec=text)
    except (ValueError, IndexError, HeaderParseError):
        return None


def _offer(client: smtplib.SMTP, mail: EmailMessage) -> int | None:
    """The status with which the server did not take it; None: it did."""
    try:
        client.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        return max(code for code, _ in error.recipients.values())
    except smtplib.SMTPResponseException as error:
        return error.smtp_code
    return None
