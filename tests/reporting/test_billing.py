"""Bills of a month, from what stands in the database."""

import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select, update

from collector.cli.report import as_csv
from collector.contracts import Priority, ServiceModels, load_service_models
from collector.contracts.charging import LineKind, WhyNot
from collector.contracts.months import Month
from collector.contracts.service_models import parse_service_models
from collector.db.database import Database
from collector.db.tables import contracts, device_tags, devices, sites, tickets
from collector.desk import parts, work
from collector.desk.opening import NewTicket
from collector.desk.tickets import join_or_open
from collector.fleet.agreements import Consent
from collector.fleet.contacts import Person, add_contact
from collector.fleet.contracts import set_plan
from collector.fleet.customers import add_customer
from collector.fleet.people import Language
from collector.reporting import bill_shape
from collector.reporting.bill_words import BillWords
from collector.reporting.billing import Bill
from collector.reporting.currency import currency_of
from collector.reporting.usage import billed_customers, read_bills

MODELS: ServiceModels = {
    **load_service_models(),
    **parse_service_models(
        """
hybrid:
  title: Hybrid
  on_alert: ticket
  charge:
    vat_percent: "21"
    monthly_fee: "100.00"
    hours: {rate: "90.00", rounding_minutes: 15, included_minutes: 120, maintenance: free}
dear:
  title: Dear
  on_alert: ticket
  charge: {monthly_fee: "310.00", hours: {rate: "120.00"}}
overseas:
  title: Overseas
  on_alert: ticket
  charge: {currency: USD, monthly_fee: "310.00"}
""",
        "test",
    ),
}
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
MARCH = Month(2026, 3)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 2, 9, 0, tzinfo=UTC)


def local(day: int, hour: int = 10, minute: int = 0, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=AMSTERDAM).astimezone(UTC)


@dataclass
class Books:
    database: Database

    async def customer(self, name: str, plan: str, since: datetime = BEGAN) -> None:
        async with self.database.begin() as connection:
            await add_customer(
                connection,
                MODELS,
                customer=name,
                name=name.title(),
                plan=plan,
                consent=Consent("J. Jansen", "2026-01-05"),
                actor="test",
                now=since,
            )

    async def agree(self, customer: str, **more: object) -> None:
        async with self.database.begin() as connection:
            await connection.execute(update(contracts).where(contracts.c.customer == customer).values(**more))

    async def device(self, name: str, kind: str, since: datetime = BEGAN, until: datetime | None = None) -> None:
        values = dict.fromkeys(("os", "arch", "agent_version", "instance", "hostname", "machine_id"), "x")
        values |= {"id": name, "customer": "acme", "site": "hq", "kind": kind}
        async with self.database.begin() as connection:
            await connection.execute(insert(devices).values(**values, enrolled_at=since, ended_at=until))

    async def ticket(self, customer: str = "acme", kind: str = "incident") -> int:
        async with self.database.begin() as connection:
            key = f"{customer}/{await connection.scalar(select(tickets.c.number).order_by(tickets.c.number.desc()))}"
            wanted = NewTicket(key, customer, None, None, "x", "x", "x", Priority.P3, BEGAN)
            number = await join_or_open(connection, wanted, BEGAN)
            await connection.execute(update(tickets).where(tickets.c.number == number).values(kind=kind))
            return number

    async def work(self, ticket: int, at: datetime, minutes: int, **more: object) -> int:
        wanted: dict[str, object] = {"author": "anna", "actor": "anna", "now": APRIL, **more}
        async with self.database.begin() as connection:
            return await work.add(connection, ticket, started_at=at, minutes=minutes, **wanted)  # type: ignore[arg-type] # as the caller names them

    async def part(self, ticket: int, at: datetime, price: str, description: str = "toner") -> int:
        async with self.database.begin() as connection:
            return await parts.add(
                connection,
                ticket,
                author="anna",
                description=description,
                quantity=Decimal(2),
                unit_price=Decimal(price),
                currency="EUR",
                used_at=at,
                actor="anna",
                now=APRIL,
            )

    async def bills(self, month: Month = MARCH, now: datetime = APRIL) -> list[Bill]:
        async with self.database.connect() as connection:
            ids = await billed_customers(connection, month)
            return await read_bills(connection, MODELS, month, ids, now)

    async def bill(self, month: Month = MARCH, now: datetime = APRIL) -> Bill:
        (found,) = await self.bills(month, now)
        return found


@pytest.fixture
async def books(database: Database) -> AsyncIterator[Books]:
    yield Books(database)


async def test_costs_are_entered_in_the_currency_of_the_contract_that_holds_then(books: Books) -> None:
    await books.customer("acme", "dear")
    await books.customer("bakkerij", "overseas", since=BEGAN + timedelta(days=30))
    await books.customer("cafe", "dear")
    await books.agree("cafe", currency="GBP")
    numbers = [await books.ticket(customer) for customer in ("acme", "bakkerij", "cafe")]

    async def found(at: datetime) -> list[str]:
        async with books.database.connect() as connection:
            return [await currency_of(connection, MODELS, number, at) for number in numbers]

    assert await found(APRIL) == ["EUR", "USD", "GBP"]
    assert await found(BEGAN) == ["EUR", "EUR", "GBP"]  # nothing was agreed then


def told(bill: Bill) -> list[tuple[str, str, str]]:
    return [(BillWords(Language.EN).line(line), str(line.amount), line.price.source) for _, line in bill.lines]


async def test_a_monthly_customer_pays_fees_and_hears_of_the_hours(books: Books) -> None:
    await books.customer("acme", "monthly")
    await books.device("srv-1", "server")
    await books.device("ws-1", "desktop", since=local(22, 9))
    await books.device("ws-2", "desktop", until=local(1, 0, month=3))
    await books.work(number := await books.ticket(), local(3), 50)
    bill = await books.bill()
    assert told(bill) == [
        ("monthly fee", "75.00", "model monthly"),
        ("1 x desktop, 10 of 31 device days", "5.65", "model monthly"),
        ("1 x server", "65.00", "model monthly"),
    ]
    ((total,), (uncharged,)) = bill.totals, bill.contracts[0].uncharged
    assert (str(total.net), str(total.vat[0].amount), str(total.gross)) == ("145.65", "30.59", "176.24")
    assert (uncharged.ticket, uncharged.minutes, bill.minutes) == (number, 50, 50)


async def test_break_fix_pays_hours_call_outs_and_parts(books: Books) -> None:
    await books.customer("acme", "break_fix")
    number = await books.ticket()
    await books.work(number, local(3), 50)
    await books.work(number, local(3, 9), 20, kind=work.WorkKind.TRAVEL)
    await books.work(number, local(4), 5, is_billable=False)
    await books.part(number, local(3), "12.25")
    bill = await books.bill()
    assert told(bill) == [
        (f"work on ticket {number}: 50 min, rounded to 60", "95.00", "model break_fix"),
        (f"call-out for ticket {number} on 3 March 2026", "45.00", "model break_fix"),
        ("toner", "24.50", f"ticket {number}"),
    ]
    assert bill.totals[0].gross == Decimal("199.05")


async def test_a_contracts_own_terms_and_free_maintenance(books: Books) -> None:
    await books.customer("acme", "hybrid")
    await books.agree("acme", fee=Decimal("80.00"), hourly_rate=Decimal("70.00"), included_minutes=30)
    await books.work(number := await books.ticket(), local(3), 61)
    await books.work(round_ := await books.ticket(kind="maintenance"), local(4), 60)
    bill = await books.bill()
    assert told(bill) == [
        ("monthly fee", "80.00", "contract 1"),
        (f"work on ticket {number}: 61 min, rounded to 75, 30 included", "52.50", "contract 1"),
    ]
    assert [(one.ticket, one.why) for one in bill.contracts[0].uncharged] == [(round_, WhyNot.IN_THE_FEE)]


async def test_a_change_of_contract_gives_lines_for_both_parts(books: Books) -> None:
    await books.customer("acme", "hybrid")
    async with books.database.begin() as connection:
        await set_plan(
            connection,
            MODELS,
            customer="acme",
            plan="dear",
            starts_at=local(11, 0),
            consent=None,
            actor="test",
            now=local(1),
        )
    number = await books.ticket()
    await books.work(number, local(10, 23, 50), 60)
    await books.work(number, local(11, 0, 0), 60)
    bill = await books.bill()
    assert [(one.model, one.days) for one in bill.contracts] == [("hybrid", 10), ("dear", 21)]
    assert told(bill) == [
        ("monthly fee, 10 of 31 days", "32.26", "model hybrid"),
        (f"work on ticket {number}: 60 min, rounded to 60, 39 included", "31.50", "model hybrid"),
        ("monthly fee, 21 of 31 days", "210.00", "model dear"),
        (f"work on ticket {number}: 60 min, rounded to 60", "120.00", "model dear"),
    ]


async def test_what_is_done_on_a_day_is_the_contracts_that_holds_when_it_ends(books: Books) -> None:
    await books.customer("acme", "hybrid", since=local(3, 15))
    number = await books.ticket()
    await books.work(number, local(2, 23, 59), 60)
    await books.work(number, local(3, 9), 120)
    await books.work(number, local(3, 16), 120)
    await books.part(number, local(3, 9), "5.00")
    async with books.database.begin() as connection:
        await set_plan(
            connection,
            MODELS,
            customer="acme",
            plan="dear",
            starts_at=local(11, 12),
            consent=None,
            actor="test",
            now=local(4),
        )
    await books.work(number, local(11, 9), 60)
    async with books.database.begin() as connection:
        await connection.execute(update(contracts).where(contracts.c.plan == "dear").values(valid_to=local(20, 12)))
    await books.work(number, local(20, 9), 15)
    await books.work(number, local(20, 13), 15)
    bill = await books.bill()
    work_ = [(of.model, line.minutes) for of, line in bill.lines if line.kind is LineKind.HOURS]
    assert work_ == [("hybrid", 240), ("dear", 75)]
    assert [of.model for of, line in bill.lines if line.kind is LineKind.PART] == ["hybrid"]
    assert bill.notices == (f"75 minutes when no contract was in force are not billed: tickets {number}",)


@pytest.mark.parametrize("month", [3, 10])
async def test_months_of_summer_time_are_those_of_the_wall(books: Books, month: int) -> None:
    await books.customer("acme", "dear")
    first, end = Month(2026, month).bounds(AMSTERDAM)
    for at in (first - timedelta(minutes=1), first, end - timedelta(minutes=1), end):
        async with books.database.begin() as connection:
            await work.add(
                connection,
                await books_ticket(connection, at),
                author="anna",
                started_at=at,
                minutes=60,
                actor="anna",
                now=end + timedelta(days=1),
            )
    bill = await books.bill(Month(2026, month), end + timedelta(days=1))
    assert bill.minutes == 120 and bill.notices == ()
    assert told(bill)[0] == ("monthly fee", "310.00", "model dear")


async def books_ticket(connection: object, at: datetime) -> int:
    wanted = NewTicket(f"acme/{at}", "acme", None, None, "x", "x", "x", Priority.P3, BEGAN)
    return await join_or_open(connection, wanted, BEGAN)  # type: ignore[arg-type] # the test's own


async def test_the_month_is_that_of_the_sites(books: Books) -> None:
    await books.customer("acme", "dear")
    async with books.database.begin() as connection:
        values = {"customer": "acme", "id": "ny", "name": "ny", "time_zone": "America/New_York", "created_at": BEGAN}
        await connection.execute(insert(sites).values(values))
    await books.work(await books.ticket(), datetime(2026, 4, 1, 3, 30, tzinfo=UTC), 15)
    bill = await books.bill()
    assert (bill.time_zone, bill.minutes) == ("America/New_York", 15)


async def test_what_runs_is_void_or_has_no_contract_is_told_not_billed(books: Books) -> None:
    await books.customer("acme", "dear", since=local(11, 0))
    number = await books.ticket()
    await books.work(number, local(10), 30)
    await books.part(number, local(10), "5.00")
    wrong = await books.work(number, local(12), 30)
    async with books.database.begin() as connection:
        await work.void(connection, wrong, reason="wrong", actor="anna", now=APRIL)
        await work.start(connection, number, author="ben", actor="ben", now=local(31, 23))
    bill = await books.bill(now=local(31, 23, 30))
    assert [line.kind for _, line in bill.lines] == ["fee"]
    assert bill.notices == (
        "2026-03 is not over: this is what is known at 2026-03-31 23:30",
        f"entry 3 of ben on ticket {number} has been running since 2026-03-31 21:00 UTC: it is not billed",
        "voided entries are not billed: 2",
        f"30 minutes when no contract was in force are not billed: tickets {number}",
        f"parts used when no contract was in force are not billed: tickets {number}",
    )


async def test_each_customer_has_a_bill_of_its_own(books: Books) -> None:
    await books.customer("acme", "dear")
    await books.customer("bakkerij", "hybrid")
    await books.customer("later", "dear", since=APRIL)
    await books.work(await books.ticket("bakkerij"), local(3), 15)
    assert [(one.customer, one.minutes) for one in await books.bills()] == [("acme", 0), ("bakkerij", 15)]
    async with books.database.connect() as connection:
        assert await billed_customers(connection, MARCH, after="acme", limit=1) == ["bakkerij"]
        assert await billed_customers(connection, MARCH, customer="later") == []


async def test_devices_count_for_the_days_on_which_they_were_there(books: Books) -> None:
    await books.customer("acme", "monthly")
    for number in range(3):
        await books.device(f"srv-{number}", "server", since=local(number + 1, month=2))  # before, and longer
    await books.device("srv-3", "server", since=local(1, month=2), until=local(10))
    await books.device("srv-4", "server", since=local(22, 9), until=local(24))
    await books.device("srv-5", "server", since=local(1, month=2), until=local(3, month=4))
    await books.device("srv-6", "server", since=local(1, month=2), until=local(20, month=2))
    assert [text for text, _, _ in told(await books.bill())] == [
        "monthly fee",
        f"6 x server, {4 * 31 + 9 + 2} of {6 * 31} device days",
    ]


async def test_only_devices_that_the_contract_covers_are_charged(books: Books) -> None:
    await books.customer("acme", "monthly")
    await books.device("srv-1", "server")
    await books.device("ws-1", "desktop")
    await books.device("ws-2", "desktop")
    async with books.database.begin() as connection:
        await connection.execute(insert(device_tags).values(device="ws-2", tag="care"))
    await books.agree("acme", scope={"kinds": ["desktop"], "tags": ["care"], "devices": ["srv-1"]})
    assert [text for text, _, _ in told(await books.bill())] == ["monthly fee", "1 x desktop", "1 x server"]


async def test_an_edit_of_the_file_prices_no_month_anew(books: Books) -> None:
    await books.customer("acme", "dear")
    before = await books.bill()
    assert before.totals
    dear = MODELS["dear"]
    dearer = dear.model_copy(update={"charge": dear.charge.model_copy(update={"monthly_fee": Decimal("999.00")})})
    async with books.database.connect() as connection:
        (after,) = await read_bills(connection, {**MODELS, "dear": dearer}, MARCH, ["acme"], APRIL)
        (gone,) = await read_bills(connection, {}, MARCH, ["acme"], APRIL)
    assert after == before
    assert (gone.totals, gone.notices) == (before.totals, before.notices)
    await books.agree("acme", charge=None)  # of a contract from before prices were kept
    async with books.database.connect() as connection:
        (as_now,) = await read_bills(connection, {**MODELS, "dear": dearer}, MARCH, ["acme"], APRIL)
    assert as_now.totals[0].net > before.totals[0].net


async def test_a_plan_that_is_gone_is_told(books: Books) -> None:
    await books.customer("acme", "dear")
    await books.agree("acme", plan="gone", charge=None)
    bill = await books.bill()
    assert bill.contracts == () and "plan gone" in bill.notices[0]


async def test_a_bill_is_in_the_language_of_the_main_contact(books: Books) -> None:
    for name, language in (("acme", "en"), ("bakkerij", "nl"), ("cafe", None)):
        await books.customer(name, "dear")
        async with books.database.begin() as connection:
            for said, is_main in ((language, True), ("en", False)):
                if said is not None:
                    person = Person("J. Jansen", language=Language(said), is_main=is_main)
                    await add_contact(connection, name, person, actor="test", now=BEGAN)
    assert [(one.customer, one.language) for one in await books.bills()] == [
        ("acme", "en"),
        ("bakkerij", "nl"),
        ("cafe", "nl"),
    ]
    async with books.database.connect() as connection:
        asked = await read_bills(connection, MODELS, MARCH, ["bakkerij"], APRIL, language=Language.EN)
    assert [bill_shape.told(one).contracts[0].lines[0].text for one in asked] == ["monthly fee"]


async def test_csv_and_json_hold_every_line_exactly(books: Books) -> None:
    await books.customer("acme", "break_fix")
    number = await books.ticket()
    await books.work(number, local(3), 50)
    await books.part(number, local(3), "12.25", "=HYPERLINK(1)")
    await books.part(number, local(3), "0.01", '@x, "quoted"')
    bill = await books.bill()
    rows = list(csv.DictReader(io.StringIO(as_csv([bill]))))
    assert [row["kind"] for row in rows] == ["hours", "part", "part", "vat"]
    assert [row["text"] for row in rows[1:3]] == ["'=HYPERLINK(1)", '\'@x, "quoted"']
    assert sum(Decimal(row["amount"]) for row in rows) == bill.totals[0].gross
    row = json.loads(bill_shape.told(bill).model_dump_json())
    (contract,) = row["contracts"]
    assert contract["lines"][0]["amount"] == "95.00" and contract["lines"][0]["rounded_minutes"] == 60
    assert row["totals"][0]["vat"] == [{"percent": "21", "net": "119.52", "amount": "25.10"}]
