"""Tickets by words of their titles: what an index finds is what looking at every title finds."""

from string import ascii_lowercase, ascii_uppercase

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, select, text, update

from collector.db.check import problems_of
from collector.db.database import Database
from collector.db.tables import tickets
from collector.desk import title_words
from collector.desk.fields import MAX_TITLE_CHARS
from collector.desk.listing import Order, Wanted, page_of
from tests.desk.desk_world import reported, settle

# What is special in patterns and in queries, and what others take for a letter of ours: long s, the Kelvin sign, i's.
CHARACTERS = "aAbBkKsS 1%_/\\\"'*^(-:éÉß\u017f\u212a\u0131\u0130😀\u0301"
MOST = 6
TITLES = st.lists(st.text(CHARACTERS, min_size=1, max_size=12), min_size=1, max_size=MOST)
NONE_OF_THEM = "x"


async def with_words(database: Database, words: str, order: Order = Order.NUMBER) -> set[str]:
    async with database.connect() as connection:
        return {one.title for one in await page_of(connection, Wanted(words=words), order=order, limit=100)}


def in_small(title: str) -> str:
    """As far as ASCII goes."""
    return title.translate(str.maketrans(ascii_uppercase, ascii_lowercase))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(titles=TITLES, data=st.data())
async def test_any_words_are_found_where_they_stand(database: Database, titles: list[str], data: st.DataObject) -> None:
    """The same tickets each time, with other titles."""
    async with database.connect() as connection:
        numbers = list(await connection.scalars(select(tickets.c.number)))
    if not numbers:
        await settle(database)
        numbers = [await reported(database) for _ in range(MOST)]
    async with database.begin() as connection:
        named = update(tickets).where(tickets.c.number == bindparam("of")).values(title=bindparam("said"))
        said = [*titles, *[NONE_OF_THEM] * (MOST - len(titles))]
        await connection.execute(named, [{"of": of, "said": one} for of, one in zip(numbers, said, strict=True)])
    part = st.sampled_from(titles).flatmap(lambda title: st.sampled_from([title[1:], title[:-1], title.swapcase()]))
    words = data.draw(part | st.text(CHARACTERS, max_size=4)) or "a"
    assert await with_words(database, words) == {title for title in titles if in_small(words) in in_small(title)}


@pytest.mark.parametrize("order", [*Order])
async def test_words_of_many_tickets_are_found_too(
    database: Database, monkeypatch: pytest.MonkeyPatch, order: Order
) -> None:
    await settle(database)
    for number in range(4):
        await reported(database, f"printer {number} is jammed")
    monkeypatch.setattr(title_words, "FEW", 3)
    assert len(await with_words(database, "Printer", order)) == 4
    assert await with_words(database, "printer 2", order) == {"printer 2 is jammed"}


async def test_the_longest_title_fits_the_indices(database: Database) -> None:
    """Of characters of four bytes that no two are alike, which nothing shortens."""
    await settle(database)
    title = "".join(chr(0x20000 + 7 * number) for number in range(MAX_TITLE_CHARS))
    await reported(database, title)
    assert await with_words(database, title[200:300], Order.PRIORITY) == {title}


async def test_those_alone_are_looked_at_that_may_have_them(database: Database) -> None:
    """On SQLite; PostgreSQL takes its own index."""
    await settle(database)
    dark = [await reported(database, f"the {thing} is dark") for thing in ("screen", "printer")]
    async with database.connect() as connection:
        few = await title_words.few_that_may_have(connection, "SCREEN")
        assert few == (dark[:1] if database.dialect == "sqlite" else None)
        assert await title_words.few_that_may_have(connection, "sc") is None
        if few is not None:
            query = f"SELECT number FROM tickets WHERE number IN ({few[0]}) AND title LIKE '%screen%' ORDER BY priority"  # noqa: S608
            plan = await connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))
            assert "SEARCH tickets USING INTEGER PRIMARY KEY" in str(plan.all())


async def test_an_index_that_does_not_fit_the_titles_is_found(database: Database) -> None:
    """SQLite's; PostgreSQL looks after its own."""
    await settle(database)
    number = await reported(database, "the screen is dark")
    if database.dialect == "sqlite":
        async with database.begin() as connection:
            await connection.execute(text("DROP TRIGGER ticket_words_changed"))
            await connection.execute(update(tickets).where(tickets.c.number == number).values(title="it is not"))
        (problem,) = await problems_of(database)
        assert "index of words" in problem
        async with database.begin() as connection:
            await connection.execute(text(problem.rpartition(": ")[2]))
    assert await problems_of(database) == []
