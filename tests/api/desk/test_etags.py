"""No lost change: who changes a thing names the state that it was meant for."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from pydantic import BaseModel, Field
from sqlalchemy import select, update

from collector.api.desk.callers import missing
from collector.api.desk.frame import DeskApi
from collector.api.desk.operations import Call, Operation, Patch, Request
from collector.contracts import load_service_models
from collector.db.database import Database
from collector.db.tables import customers
from collector.fleet.customers import add_customer
from collector.fleet.roles import Role
from collector.fleet.tokens import Token
from tests.api.desk.conftest import ROOT, Desk

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
WRITERS = 6
ROUNDS = 5
ROLES = (Role.CONTACT, Role.VIEWER, Role.TECHNICIAN, Role.MANAGER, Role.ADMIN, Role.SENDER)


class Thing(BaseModel):
    """A customer with its name, and how often it was looked at."""

    name: str
    silent_days: int | None
    looked: int


class ThingId(Request):
    id: str


class ThingPatch(Patch):
    name: Annotated[str, Field(min_length=1)] = ""
    silent_days: int | None = None


class Things:
    looked = 0

    async def get_thing(self, call: Call[ThingId, None]) -> Thing:
        self.looked += 1
        query = select(customers.c.name, customers.c.silent_days).where(customers.c.id == call.params.id)
        row = (await call.connection.execute(query)).one_or_none()
        if row is None:
            raise missing(f"thing {call.params.id}")
        return Thing(name=row.name, silent_days=row.silent_days, looked=self.looked)

    async def change_thing(self, call: Call[ThingId, ThingPatch]) -> Thing:
        given = call.body.given()
        if given:
            await call.connection.execute(update(customers).where(customers.c.id == call.params.id).values(**given))
        return await self.get_thing(Call(call.caller, call.connection, call.now, call.params, None))

    def api(self, database: Database) -> DeskApi:
        moving = frozenset({"looked"})
        one = Operation(
            "GET", "/things/{id}", "", ThingId, None, Thing, self.get_thing, moving=moving, role=Role.CONTACT
        )
        change = Operation(
            "PATCH", "/things/{id}", "", ThingId, ThingPatch, Thing, self.change_thing, changes=one, role=Role.MANAGER
        )
        bound = {Role.CONTACT: "acme", Role.SENDER: "acme"}
        tokens = {
            role.value: Token(number, role, bound.get(role), None, None, None, NOW, None, None)
            for number, role in enumerate(ROLES)
        }
        return DeskApi([one, change], database, tokens.get, lambda: NOW, version="1")


@pytest.fixture
async def urls(database: Database, database_url: str) -> AsyncIterator[list[str]]:
    """Of two collectors on one database."""
    async with database.begin() as connection:
        models = load_service_models()
        await add_customer(
            connection, models, customer="acme", name="Acme", plan="monthly", consent=None, actor="test", now=NOW
        )
    async with await Database.open(database_url) as other:
        servers = []
        for each in (database, other):
            application = web.Application()
            application.add_routes(Things().api(each).routes())
            servers.append(TestServer(application))
            await servers[-1].start_server()
        try:
            yield [f"{server.make_url(ROOT)}/things/acme" for server in servers]
        finally:
            for server in servers:
                await server.close()


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession(headers={"Authorization": "Bearer manager"}) as opened:
        yield opened


async def test_two_who_saw_the_same_do_not_both_change_it(urls: list[str], session: ClientSession) -> None:
    async def write(number: int, etag: str) -> int:
        body = {"name": f"name {etag} {number}"}
        async with session.patch(urls[number % 2], json=body, headers={"If-Match": etag}) as answer:
            await answer.read()
            return answer.status

    for _ in range(ROUNDS):
        async with session.get(urls[0]) as seen:
            etag = seen.headers["ETag"]
        statuses = await asyncio.gather(*(write(number, etag) for number in range(WRITERS)))
        assert Counter(statuses) == {200: 1, 412: WRITERS - 1}


async def test_a_change_needs_the_etag_that_still_holds(urls: list[str], session: ClientSession) -> None:
    url = urls[0]

    async def patch(etag: str | None, body: object, status: int) -> str:
        headers = {} if etag is None else {"If-Match": etag}
        async with session.patch(url, json=body, headers=headers) as answer:
            assert answer.status == status, await answer.text()
            return answer.headers.get("ETag", (await answer.json()).get("error", ""))

    async with session.get(url) as seen:
        first = seen.headers["ETag"]
        assert (await seen.json())["silent_days"] == 15
    assert await patch(None, {"name": "B"}, 428) == "precondition_required"
    assert await patch("*", {"name": "B"}, 428) == "precondition_required"
    assert await patch("first", {"name": "B"}, 400) == "malformed"
    assert await patch(f"W/{first}", {"name": "B"}, 412) == "precondition_failed"
    assert await patch('"0123"', {"name": "B"}, 412) == "precondition_failed"
    second = await patch(f'"0123", {first}', {"name": "B"}, 200)
    assert await patch(first, {"name": "C"}, 412) == "precondition_failed"
    third = await patch(second, {"silent_days": 20}, 200)  # without reading it again
    async with session.get(url) as seen:
        told = await seen.json()
        assert (told["name"], told["silent_days"]) == ("B", 20)
        assert seen.headers["ETag"].partition(".")[0] == third.partition(".")[0]
    assert await patch(third, {"name": None}, 422) == "invalid"
    assert await patch(third, {"other": 1}, 422) == "invalid"
    await patch(third, {}, 200)  # nothing given, nothing changed


async def test_who_has_an_answer_is_not_sent_it_again(desk: Desk) -> None:
    for path in ("/devices/srv-2", "/customers", "/customers/acme"):
        seen = await desk.ask("GET", path)
        again = await desk.ask("GET", path, headers={"If-None-Match": f'"0", W/{seen.headers["ETag"]}'})
        assert (again.status, again.text, again.headers["ETag"]) == (304, "", seen.headers["ETag"])
        other = await desk.ask("GET", path, headers={"If-None-Match": '"0"'})
        assert (other.status, other.json) == (200, seen.json)


async def test_each_operation_says_which_role_it_takes(urls: list[str]) -> None:
    async with ClientSession() as session:
        for role in ROLES:
            headers = {"Authorization": f"Bearer {role}"}
            async with session.get(urls[0], headers=headers) as seen:
                assert seen.status == (403 if role is Role.SENDER else 200)
                etag = seen.headers.get("ETag", '"0"')
            async with session.patch(urls[0], json={}, headers=headers | {"If-Match": etag}) as answer:
                assert answer.status == (200 if role in (Role.MANAGER, Role.ADMIN) else 403)
