"""What happens to tickets is told outside: at least once, in order for each ticket, and never half."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from collector.db.database import Database
from collector.db.tables import customers, tickets
from collector.desk import delivery, outbox
from collector.desk.delivery import Deliverer, Message, PutOffError, RefusedError, wait_seconds
from collector.desk.outbox import NO_LONGER, OutboxError, Waiting
from collector.desk.states import TicketStatus
from collector.desk.tickets import comment, join_or_open, note, resolve, set_status
from tests.desk.test_tickets import DISK_FULL

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture(name="database")
async def database_with_a_customer(database: Database) -> AsyncIterator[Database]:
    async with database.begin() as connection:
        await connection.execute(insert(customers).values(id="acme", name="Acme BV", created_at=NOW))
    yield database


@dataclass
class Receiver:
    """A way out that takes what it gets, or fails as told: by kind, or all of it."""

    name: str = "webhook"
    failing: dict[str, Exception] = field(default_factory=dict)
    got: list[Message] = field(default_factory=list)
    tries: int = 0

    async def send(self, message: Message) -> None:
        self.tries += 1
        await asyncio.sleep(0)
        error = self.failing.get(message.kind) or self.failing.get("*")
        if error is not None:
            raise error
        self.got.append(message)

    @property
    def told(self) -> list[tuple[int, str]]:
        return [(message.ticket.number, message.kind) for message in self.got]


@dataclass
class Desk:
    database: Database
    now: datetime = NOW

    async def use(self, *names: str) -> None:
        async with self.database.begin() as connection:
            await outbox.use_connectors(connection, names, self.now)

    async def open(self, key: str = "k") -> int:
        async with self.database.begin() as connection:
            return await join_or_open(connection, replace(DISK_FULL, key=key), self.now)

    async def comment(self, number: int, text: str = "we are on it") -> None:
        async with self.database.begin() as connection:
            await comment(connection, number, text=text, actor="anna", now=self.now, is_public=True)

    def deliverer(self, *receivers: Receiver) -> Deliverer:
        return Deliverer(self.database, receivers, lambda: self.now, lambda: 1.0)

    async def entries(self, **which: bool) -> list[outbox.Entry]:
        async with self.database.connect() as connection:
            return await outbox.list_entries(connection, **which)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


async def test_without_a_connector_no_rows_pile_up(desk: Desk) -> None:
    await desk.comment(await desk.open())
    assert await desk.entries(delivered_too=True) == []


async def test_what_happens_is_told_once_in_order_and_internal_notes_are_not(desk: Desk) -> None:
    await desk.use("webhook")
    number = await desk.open()
    async with desk.database.begin() as connection:
        await note(connection, number, NOW, "internal")
        await set_status(connection, number, status=TicketStatus.IN_PROGRESS, actor="anna", now=NOW)
    await desk.comment(number)
    async with desk.database.begin() as connection:
        await set_status(connection, number, status=TicketStatus.RESOLVED, actor="anna", now=NOW)
    assert await desk.open() == number  # it comes back
    receiver = Receiver()
    deliverer = desk.deliverer(receiver)
    await deliverer.turn()
    await deliverer.turn()
    assert receiver.told == [(number, kind) for kind in ("opened", "commented", "resolved", "reopened")]
    assert [message.data.get("text") for message in receiver.got][1] == "we are on it"
    assert len({message.key for message in receiver.got}) == 4 and receiver.got[0].key.startswith("webhook/")
    assert deliverer.results["webhook", "delivered"] == 4
    assert deliverer.waiting == {"webhook": Waiting()}


async def test_an_event_and_its_telling_are_one_transaction(desk: Desk) -> None:
    await desk.use("webhook")
    with pytest.raises(ZeroDivisionError):
        async with desk.database.begin() as connection:
            await join_or_open(connection, DISK_FULL, NOW)
            raise ZeroDivisionError
    assert await desk.entries() == []


async def test_a_failure_keeps_the_order_of_its_ticket_and_no_other_ticket_waits(desk: Desk) -> None:
    await desk.use("webhook")
    first, second = await desk.open("one"), await desk.open("two")
    await desk.comment(first)
    receiver = Receiver(failing={"opened": PutOffError("down")})
    deliverer = desk.deliverer(receiver)
    await deliverer.turn()
    assert receiver.got == []  # the comment waits for what came before it
    async with desk.database.begin() as connection:
        await resolve(connection, second, NOW)
    receiver.failing = {}
    await deliverer.turn()
    assert receiver.got == []  # not before its time
    desk.now += timedelta(seconds=6)
    await deliverer.turn()
    assert [kind for number, kind in receiver.told if number == first] == ["opened", "commented"]
    assert [kind for number, kind in receiver.told if number == second] == ["opened", "resolved"]


async def test_what_can_never_be_told_is_parked_and_what_follows_goes_on(desk: Desk) -> None:
    await desk.use("webhook")
    number = await desk.open()
    await desk.comment(number)
    receiver = Receiver(failing={"opened": RefusedError("status 422")})
    deliverer = desk.deliverer(receiver)
    await deliverer.turn()
    await deliverer.turn()
    assert receiver.told == [(number, "commented")]
    (parked,) = await desk.entries(parked=True)
    assert (parked.kind, parked.attempts, parked.last_error) == ("opened", 1, "status 422")
    assert deliverer.waiting == {"webhook": Waiting(parked=1)}
    assert deliverer.results["webhook", "parked"] == 1
    async with desk.database.begin() as connection:
        with pytest.raises(OutboxError):
            await outbox.retry(connection, parked.id + 1, actor="eve", now=desk.now)
        assert await outbox.retry(connection, parked.id, actor="eve", now=desk.now) == 1
    receiver.failing = {}
    await deliverer.turn()
    assert receiver.told[-1] == (number, "opened")


async def test_tries_are_bounded(desk: Desk) -> None:
    await desk.use("webhook")
    await desk.open()
    receiver = Receiver(failing={"*": PutOffError("down")})
    deliverer = desk.deliverer(receiver)
    for _ in range(delivery.MAX_ATTEMPTS + 5):
        await deliverer.turn()
        desk.now += timedelta(hours=1)
    assert receiver.tries == delivery.MAX_ATTEMPTS
    assert len(await desk.entries(parked=True)) == 1


async def test_a_receiver_that_is_down_is_asked_with_one_message_at_a_time(desk: Desk) -> None:
    await desk.use("webhook")
    for number in range(40):
        await desk.open(f"k-{number}")
    receiver = Receiver(failing={"*": PutOffError("down")})
    deliverer = desk.deliverer(receiver)
    await deliverer.turn()
    assert receiver.tries == delivery.AT_ONCE
    await deliverer.turn()
    assert receiver.tries == delivery.AT_ONCE + 1
    receiver.failing = {}
    desk.now += timedelta(minutes=10)
    await deliverer.turn()
    assert len(receiver.got) == 40


async def test_one_way_out_that_fails_keeps_no_other_from_its_work(desk: Desk) -> None:
    await desk.use("webhook", "mail")
    await desk.open()
    webhook, mail = Receiver(failing={"*": ValueError("a bug")}), Receiver("mail")
    deliverer = desk.deliverer(webhook, mail)
    await deliverer.turn()
    assert (len(webhook.got), len(mail.got)) == (0, 1)
    (waits,) = await desk.entries()
    assert waits.last_error == "ValueError: see the log"


async def test_of_two_deliverers_one_tells_it_and_in_order(desk: Desk) -> None:
    await desk.use("webhook")
    numbers = [await desk.open(f"k-{number}") for number in range(6)]
    for number in numbers:
        await desk.comment(number, "first")
        await desk.comment(number, "second")
    receiver = Receiver()
    await asyncio.gather(*(desk.deliverer(receiver).turn() for _ in range(3)))
    assert len(receiver.got) == 18
    for number in numbers:
        assert [
            message.data.get("text", message.kind) for message in receiver.got if message.ticket.number == number
        ] == ["opened", "first", "second"]


async def test_a_deliverer_that_died_leaves_a_lease_that_runs_out(desk: Desk) -> None:
    await desk.use("webhook")
    number = await desk.open()
    await desk.comment(number)
    async with desk.database.begin() as connection:  # claims, and is never heard of again
        claimed = await outbox.claim(connection, "webhook", NOW, until=NOW + delivery.LEASE, limit=10)
    assert [entry.kind for entry in claimed] == ["opened"]
    receiver = Receiver()
    deliverer = desk.deliverer(receiver)
    await deliverer.turn()
    assert receiver.got == []
    desk.now += delivery.LEASE
    await deliverer.turn()
    assert receiver.told == [(number, "opened"), (number, "commented")]
    assert receiver.got[0].key == claimed[0].key


async def test_what_waits_for_a_way_out_no_longer_in_use_is_given_up(desk: Desk) -> None:
    await desk.use("webhook", "mail")
    await desk.open()
    await desk.use("mail")
    await desk.use("mail")
    assert [(one.connector, one.last_error) for one in await desk.entries(parked=True)] == [("webhook", NO_LONGER)]
    async with desk.database.begin() as connection:
        assert await outbox.retry(connection, None, actor="eve", now=desk.now) == 0
        old = NOW + timedelta(days=1)
        assert await outbox.forget(connection, delivered_before=old, written_before=old) == 1
    assert [one.connector for one in await desk.entries()] == ["mail"]


def test_waits_grow_to_an_hour_and_are_spread() -> None:
    assert [wait_seconds(attempts, 1.0) for attempts in (1, 2, 3, 4)] == [5, 10, 20, 40]
    assert wait_seconds(1, 0.0) == 2.5
    assert wait_seconds(1000, 1.0) == 3600


WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from collector.db.database import Database
from collector.desk.tickets import join_or_open
from tests.desk.test_tickets import DISK_FULL

async def main(url, where):
    async with await Database.open(url) as database:
        async with database.begin() as connection:
            await join_or_open(connection, DISK_FULL, datetime(2026, 3, 2, 9, tzinfo=UTC))
            if where == "inside":
                print("here", flush=True)
                await asyncio.to_thread(sys.stdin.readline)
        print("here", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main(*sys.argv[1:]))
"""


def killed_at(url: str, where: str) -> None:
    """A process that opens a ticket, and is killed inside its transaction or right after."""
    command: Sequence[str] = (sys.executable, "-c", WRITER, url, where)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "here\n"
        finally:
            process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("where", ["inside", "after"])
async def test_kill_9_leaves_ticket_and_telling_both_or_neither(desk: Desk, database_url: str, where: str) -> None:
    await desk.use("webhook")
    await asyncio.to_thread(killed_at, database_url, where)
    receiver = Receiver()
    await desk.deliverer(receiver).turn()
    async with desk.database.connect() as connection:
        opened = list(await connection.scalars(select(tickets.c.number)))
    assert receiver.told == [(number, "opened") for number in opened]
    assert len(opened) == (1 if where == "after" else 0)
