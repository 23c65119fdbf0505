"""One agent reads a printer, and another of its site takes over when it is silent."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from collector.api.agents import configure
from collector.db.tables import device_events
from collector.fleet.printers.readers import BACK_AFTER, Handover, Site, handovers
from collector.fleet.printers.store import PrinterChange, change_printer
from collector.series.labels import NAME
from collector.series.read import Matcher, MatchOp
from protocol.wire import MAX_PRINTERS_PER_AGENT
from tests.db.copies import Copies
from tests.fleet.living import Life, resumed
from tests.fleet.printers.living import Told, add, tell
from tests.fleet.world import ACTOR

NONE: dict[str, str] = {}
LONG, SHORT = timedelta(hours=1), timedelta(minutes=1)
PAGES: Told = {("printer_pages_total",): 100.0}


def moves(
    reads: dict[str, str | None], reporting: dict[str, timedelta], prefers: dict[str, str] = NONE
) -> list[tuple[str, str]]:
    return [(one.printer, one.after) for one in handovers(Site(reads, prefers, reporting))]


@pytest.mark.parametrize(
    ("reads", "reporting", "prefers", "expected"),
    [
        ({"p": "a"}, {"a": LONG, "b": LONG}, {}, []),
        ({"p": "a"}, {"b": SHORT}, {}, [("p", "b")]),
        ({"p": "a"}, {}, {}, []),  # nobody is there: the site's trouble
        ({"p": None}, {"b": SHORT}, {}, [("p", "b")]),
        ({"p": "b"}, {"a": SHORT, "b": LONG}, {"p": "a"}, []),  # back, but not for ten minutes
        ({"p": "b"}, {"a": BACK_AFTER, "b": LONG}, {"p": "a"}, [("p", "a")]),
        ({"p": "b"}, {"a": SHORT}, {"p": "a"}, [("p", "a")]),  # the other one is gone
        ({"p": "a"}, {"b": LONG}, {"p": "a"}, [("p", "b")]),
        ({"p": "a", "q": "a", "r": "c"}, {"b": LONG, "c": LONG}, {}, [("p", "b"), ("q", "b")]),
    ],
)
def test_who_reads(
    reads: dict[str, str | None],
    reporting: dict[str, timedelta],
    prefers: dict[str, str],
    expected: list[tuple[str, str]],
) -> None:
    assert moves(reads, reporting, prefers) == expected


AGENTS = st.sampled_from(["a", "b", "c"])


@given(
    reads=st.dictionaries(st.sampled_from([f"p{number}" for number in range(8)]), st.none() | AGENTS),
    reporting=st.dictionaries(AGENTS, st.sampled_from([SHORT, LONG])),
    prefers=st.dictionaries(st.sampled_from([f"p{number}" for number in range(8)]), AGENTS),
)
def test_after_a_handover_every_printer_is_read_and_nothing_moves_again(
    reads: dict[str, str | None], reporting: dict[str, timedelta], prefers: dict[str, str]
) -> None:
    prefers = {printer: wanted for printer, wanted in prefers.items() if printer in reads}
    due = handovers(Site(reads, prefers, reporting))
    after = reads | {one.printer: one.after for one in due}
    assert all(reader in reporting for reader in after.values()) or not reporting
    assert handovers(Site(after, prefers, reporting)) == []


def test_an_agent_reads_so_many_and_no_more() -> None:
    reads: dict[str, str | None] = {f"p{number:03}": "a" for number in range(MAX_PRINTERS_PER_AGENT + 5)}
    due: list[Handover] = handovers(Site(reads, {}, {"b": LONG}))
    assert len(due) == MAX_PRINTERS_PER_AGENT


async def three_servers_report(life: Life) -> None:
    for name in ("srv-1", "srv-2"):
        await life.add(name, "server")
    await life.add("srv-ny", "server", site="ny")
    await life.start()
    await life.pass_(timedelta(minutes=5))


@pytest.fixture
async def life(copies: Copies) -> AsyncIterator[Life]:
    async with resumed(copies, three_servers_report) as life:
        yield life


def reader_of(life: Life, printer: str) -> str | None:
    return life.collector.fleet.directory.members[printer].read_by


def etag(life: Life, agent: str) -> str:
    directory = life.collector.fleet.directory
    return configure(directory.members[agent], directory, 60).etag


def series_of(life: Life, printer: str) -> int:
    matchers = (Matcher("device_id", MatchOp.EQUAL, printer), Matcher(NAME, MatchOp.EQUAL, "printer_pages_total"))
    return len(life.collector.store.reader.select(matchers, 0, 1 << 50))


async def test_another_agent_of_the_site_takes_over_and_gives_it_back(life: Life) -> None:
    printer = await add(life, reader="srv-1")
    assert (await tell(life, "srv-1", printer, PAGES))["refused"] == []
    before = etag(life, "srv-1"), etag(life, "srv-2")
    await life.leave("srv-1")
    await life.pass_(timedelta(minutes=2))
    assert reader_of(life, printer) == "srv-1"
    await life.pass_(timedelta(minutes=1))
    assert reader_of(life, printer) == "srv-2"
    assert all(now != then for now, then in zip((etag(life, "srv-1"), etag(life, "srv-2")), before, strict=True))
    assert (await tell(life, "srv-2", printer, PAGES))["refused"] == []
    assert series_of(life, printer) == 1
    life.machines["srv-1"].is_reporting = True
    await life.pass_(timedelta(minutes=9))
    assert reader_of(life, printer) == "srv-2"
    await life.pass_(timedelta(minutes=3))
    assert reader_of(life, printer) == "srv-1"
    assert (etag(life, "srv-1"), etag(life, "srv-2")) == before
    async with life.opened() as database, database.connect() as connection:
        told = await connection.scalars(select(device_events.c.data).where(device_events.c.device == printer))
        assert [(one["from"], one["to"]) for one in told] == [("srv-1", "srv-2"), ("srv-2", "srv-1")]


async def test_what_the_former_reader_took_is_not_lost(life: Life) -> None:
    printer = await add(life, reader="srv-1")
    await life.leave("srv-1")
    cut_off = life.now
    await life.pass_(timedelta(minutes=5))
    assert reader_of(life, printer) == "srv-2"
    assert (await tell(life, "srv-1", printer, PAGES, at=cut_off + timedelta(minutes=1)))["refused"] == []
    late = await tell(life, "srv-1", printer, PAGES, at=life.now)
    assert [one["reason"] for one in late["refused"]] == [f"this agent is not set to read {printer}"]
    never = await tell(life, "srv-ny", printer, PAGES, at=cut_off)
    assert len(never["refused"]) == 1
    await life.stop()
    await life.start()
    assert (await tell(life, "srv-1", printer, PAGES, at=cut_off + timedelta(minutes=2)))["refused"] == []


async def test_nobody_is_taken_for_silent_while_the_collector_was_away(life: Life) -> None:
    printer = await add(life, reader="srv-1")
    await life.stop()
    life.now += timedelta(hours=3)
    await life.start()
    await life.pass_(timedelta(minutes=2))
    assert reader_of(life, printer) == "srv-1"
    await life.leave("srv-1")
    await life.pass_(timedelta(minutes=4))
    assert reader_of(life, printer) == "srv-2"


async def test_a_site_without_agents_keeps_its_reader_and_one_that_gets_an_agent_has_one(life: Life) -> None:
    printer = await add(life, site="ny")
    assert reader_of(life, printer) == "srv-ny"
    await life.leave("srv-ny")
    await life.pass_(timedelta(minutes=10))
    assert reader_of(life, printer) == "srv-ny"
    await life.add("srv-ny2", "server", site="ny")
    await life.pass_(timedelta(minutes=2))
    assert reader_of(life, printer) == "srv-ny2"


async def test_any_reader_may_go_on(life: Life) -> None:
    printer = await add(life, reader="srv-2")
    async with life.opened() as database, database.begin() as connection:
        await change_printer(connection, printer, PrinterChange(reader=""), actor=ACTOR, now=life.now)
    await life.pass_(timedelta(minutes=15))
    assert reader_of(life, printer) == "srv-2"
