"""Tickets that have to do with each other, and files beside them."""

import gzip
import io
import zipfile
from collections.abc import AsyncIterator

import pytest

from collector.db.database import Database
from collector.desk import attachments, merging
from collector.desk.attachments import MAX_FILE_BYTES, NoAttachmentError, attach, content_of, list_attachments
from collector.desk.events import history
from collector.desk.fields import TicketError
from collector.desk.file_types import cleaned_name
from collector.desk.links import Link, LinkKind, link, links_of, set_parent, unlink
from collector.desk.states import TicketStatus, TransitionError
from collector.desk.tickets import comment, set_status
from tests.desk.desk_world import ANNA, NOW, read, reported, settle

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(20)


@pytest.fixture(name="database")
async def database_with_customers(database: Database) -> AsyncIterator[Database]:
    await settle(database)
    yield database


async def test_links_are_said_from_both_sides_and_run_in_no_circle(database: Database) -> None:
    a, b, c = [await reported(database) for _ in range(3)]
    other = await reported(database, customer="bakkerij")
    async with database.begin() as connection:
        await link(connection, a, b, LinkKind.BLOCKED_BY, actor=ANNA, now=NOW)
        await link(connection, b, c, LinkKind.BLOCKED_BY, actor=ANNA, now=NOW)
        assert await links_of(connection, b) == [Link(a, LinkKind.BLOCKS), Link(c, LinkKind.BLOCKED_BY)]
        for ends, kind, message in (
            ((c, a), LinkKind.BLOCKED_BY, "wait for each other"),
            ((a, c), LinkKind.BLOCKS, "wait for each other"),
            ((b, a), LinkKind.RELATED, "already"),
            ((a, a), LinkKind.RELATED, "itself"),
            ((a, other), LinkKind.RELATED, "another customer"),
        ):
            with pytest.raises(TicketError, match=message):
                await link(connection, *ends, kind, actor=ANNA, now=NOW)
        await link(connection, c, a, LinkKind.RELATED, actor=ANNA, now=NOW)
        await unlink(connection, b, a, actor=ANNA, now=NOW)
        assert await links_of(connection, a) == [Link(c, LinkKind.RELATED)]
        with pytest.raises(TicketError, match="not linked"):
            await unlink(connection, b, a, actor=ANNA, now=NOW)
        assert [one.type for one in await history(connection, a)] == ["opened", "linked", "linked", "unlinked"]


async def test_a_ticket_is_part_of_a_greater_one(database: Database) -> None:
    a, b, c = [await reported(database) for _ in range(3)]
    async with database.begin() as connection:
        await set_parent(connection, b, a, actor=ANNA, now=NOW)
        await set_parent(connection, c, b, actor=ANNA, now=NOW)
        for number, parent in ((a, c), (a, b), (b, c), (a, a)):
            with pytest.raises(TicketError):
                await set_parent(connection, number, parent, actor=ANNA, now=NOW)
        await set_parent(connection, b, None, actor=ANNA, now=NOW)
        await set_parent(connection, a, c, actor=ANNA, now=NOW)
        await set_status(connection, b, status=TicketStatus.RESOLVED, actor=ANNA, now=NOW)
        with pytest.raises(TicketError, match="is resolved"):
            await set_parent(connection, a, b, actor=ANNA, now=NOW)
    assert (await read(database, a)).parent == c


async def test_merging_closes_one_and_the_other_goes_on(database: Database) -> None:
    a, b, part = [await reported(database) for _ in range(3)]
    urgent = await reported(database, priority="P1")
    async with database.begin() as connection:
        await comment(connection, b, text="it is the switch", actor=ANNA, now=NOW)
        await set_parent(connection, part, b, actor=ANNA, now=NOW)
        await merging.merge(connection, b, a, actor=ANNA, now=NOW)
        await merging.merge(connection, urgent, a, actor=ANNA, now=NOW)
    merged, target = await read(database, b), await read(database, a)
    assert (merged.status, merged.merged_into, merged.closed_at) == (TicketStatus.CLOSED, a, NOW)
    assert (target.status, target.priority) == (TicketStatus.NEW, "P1")
    assert (await read(database, part)).parent == a
    async with database.begin() as connection:
        with pytest.raises(TicketError, match=f"was merged into {a}: comment on that one"):
            await comment(connection, b, text="and the cable", actor=ANNA, now=NOW)
        with pytest.raises(TicketError, match=f"was merged into {a}: put the file beside that one"):
            await attach(connection, b, name="x.png", content=PNG, actor=ANNA, now=NOW)
        assert [one.type for one in await history(connection, b)] == ["opened", "comment", "status", "merged"]
        assert [one.type for one in await history(connection, a)] == ["opened", "took_in", "took_in", "priority"]


async def test_what_is_merged_is_no_part_of_the_other_and_waits_for_it_no_more(database: Database) -> None:
    a, b, c = [await reported(database) for _ in range(3)]
    async with database.begin() as connection:
        await link(connection, a, b, LinkKind.BLOCKED_BY, actor=ANNA, now=NOW)
        await link(connection, b, c, LinkKind.RELATED, actor=ANNA, now=NOW)
        await set_parent(connection, b, a, actor=ANNA, now=NOW)
        await merging.merge(connection, b, a, actor=ANNA, now=NOW)
        assert await links_of(connection, a) == []
        assert await links_of(connection, b) == [Link(c, LinkKind.RELATED)]
    assert (await read(database, b)).parent is None


async def test_what_cannot_be_merged(database: Database) -> None:
    a, b, parent, closed, merged = [await reported(database) for _ in range(5)]
    other = await reported(database, customer="bakkerij")
    async with database.begin() as connection:
        await merging.merge(connection, merged, b, actor=ANNA, now=NOW)
        await set_parent(connection, a, parent, actor=ANNA, now=NOW)
        await set_status(connection, closed, status=TicketStatus.RESOLVED, actor=ANNA, now=NOW)
        with pytest.raises(TicketError, match="resolved: reopen"):
            await merging.merge(connection, a, closed, actor=ANNA, now=NOW)
        await set_status(connection, closed, status=TicketStatus.CLOSED, actor=ANNA, now=NOW)
        for number, into, message in (
            (a, a, "itself"),
            (a, other, "another customer"),
            (a, closed, "is closed"),
            (parent, a, "its own parts"),
            (merged, a, "merged into 1002 already"),
            (a, 7, "no ticket 7"),
        ):
            with pytest.raises(TicketError, match=message):
                await merging.merge(connection, number, into, actor=ANNA, now=NOW)
        with pytest.raises(TransitionError, match="cannot be merged; possible now: tickets add"):
            await merging.merge(connection, closed, a, actor=ANNA, now=NOW)
        await merging.merge(connection, b, a, actor=ANNA, now=NOW)
        with pytest.raises(TicketError, match="itself: merge into that one"):
            await merging.merge(connection, parent, b, actor=ANNA, now=NOW)


def an_office_file() -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as packed:
        packed.writestr("[Content_Types].xml", "<Types/>")
        packed.writestr("word/document.xml", "<document/>")
    return kept.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "kept_as", "media_type"),
    [
        ("screen.PNG", PNG, "screen.PNG", "image/png"),
        ("../../etc/quote\r\n\x00.pdf", b"%PDF-1.7\n", "quote.pdf", "application/pdf"),
        ("C:\\Users\\Piet\\offerte.docx", an_office_file(), "offerte.docx", None),
        ('a"<b>.txt', "na\u00efef".encode(), "a__b_.txt", "text/plain"),
        ("windows.log", "fout".encode("utf-16"), "windows.log", "text/plain"),
        ("bomb.gz", gzip.compress(bytes(5_000_000)), "bomb.gz", "application/gzip"),  # kept as it came, never unpacked
    ],
)
async def test_a_file_is_kept_as_it_came(
    database: Database, name: str, content: bytes, kept_as: str, media_type: str | None
) -> None:
    number = await reported(database)
    async with database.begin() as connection:
        made = await attach(connection, number, name=name, content=content, is_public=True, actor=ANNA, now=NOW)
        assert (made.name, made.size_bytes, made.is_public) == (kept_as, len(content), True)
        assert media_type in (None, made.media_type)
        assert await list_attachments(connection, number) == [made]
        assert await content_of(connection, number, made.id) == content
        await attachments.remove(connection, number, made.id, actor=ANNA, now=NOW)
        assert await list_attachments(connection, number) == []
        with pytest.raises(NoAttachmentError):
            await content_of(connection, number, made.id)
        assert [one.type for one in await history(connection, number)] == ["opened", "attached", "detached"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.exe", b"MZ" + bytes(60), "not taken"),
        ("x.html", b"<script>", "not taken"),
        ("x.svg", b"<svg/>", "not taken"),
        ("x.png", b"MZ" + bytes(60), "no .png inside, but application/x-msdownload: name it by that"),
        ("x.png", b"<html><script>alert(1)</script>", "no .png inside"),
        ("x.txt", PNG, "no .txt inside"),
        ("x.txt", b"a\x00b", "no .txt inside, nor anything else that is known"),
        ("x.txt", b"\xff\xfe\x00", "no .txt inside"),
        ("x.pdf", b"", "x.pdf has nothing in it"),
        ("x.txt", b"x" * (MAX_FILE_BYTES + 1), "more than 10485760 bytes"),
        ("nothing", PNG, "with its type"),
        ("/", PNG, "with its type"),
        (".png", PNG, "with its type"),
    ],
)
async def test_a_file_that_is_not_taken(database: Database, name: str, content: bytes, message: str) -> None:
    number = await reported(database)
    with pytest.raises(TicketError, match=message):
        async with database.begin() as connection:
            await attach(connection, number, name=name, content=content, actor=ANNA, now=NOW)


async def test_files_are_bounded_in_number_and_in_all(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MAX_TICKET_BYTES", 2 * len(PNG))
    number = await reported(database)
    async with database.begin() as connection:
        for _ in range(2):
            await attach(connection, number, name="a.png", content=PNG, actor=ANNA, now=NOW)
        with pytest.raises(TicketError, match="together"):
            await attach(connection, number, name="a.png", content=PNG, actor=ANNA, now=NOW)
        monkeypatch.setattr(attachments, "MAX_FILES", 2)
        with pytest.raises(TicketError, match="2 files, which is the most"):
            await attach(connection, number, name="a.png", content=PNG, actor=ANNA, now=NOW)


def test_a_long_name_keeps_its_end() -> None:
    assert len(cleaned_name("x" * 500 + ".png")) == 150
    assert cleaned_name("x" * 500 + ".png").endswith(".png")
