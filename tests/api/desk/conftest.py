"""A whole collector on a real port, with tickets, a shadow and tokens of every reach; its clock is the test's."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from collector.db import audit
from collector.fleet.roles import Role
from tests.db.copies import Copies
from tests.fleet.living import Life, resumed

ROOT = "/api/desk/v1"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str
    json: Any


@dataclass
class Desk:
    life: Life
    url: str
    session: ClientSession

    async def ask(
        self, method: str, path: str, body: object = None, *, who: str | None = "technician", **more: Any
    ) -> Answer:
        """`who` is a key of the life's tokens."""
        headers = dict(more.pop("headers", {}))
        if who is not None:
            headers["Authorization"] = f"Bearer {self.life.tokens[who]}"
        if body is not None:
            more["json"] = body
        async with self.session.request(method, self.url + ROOT + path, headers=headers, **more) as response:
            text = await response.text()
            is_json = "json" in response.content_type
            return Answer(
                response.status,
                response.headers,
                text,
                await response.json(content_type=None) if is_json else None,
            )

    async def get(self, path: str, who: str = "technician") -> Any:
        answer = await self.ask("GET", path, who=who)
        assert answer.status == 200, answer.text
        return answer.json

    async def change(self, method: str, path: str, body: object = None, *, who: str = "technician") -> Answer:
        """Reads it, and changes what it read."""
        seen = await self.ask("GET", path, who=who)
        assert seen.status == 200, seen.text
        return await self.ask(method, path, body, who=who, headers={"If-Match": seen.headers["ETag"]})

    async def refused(
        self, method: str, path: str, body: object = None, *, who: str | None = "technician", **more: Any
    ) -> tuple[int, str]:
        answer = await self.ask(method, path, body, who=who, **more)
        assert answer.headers["Content-Type"].startswith("application/problem+json"), answer.text
        assert answer.json["status"] == answer.status
        return answer.status, answer.json["error"]

    async def actors(self) -> list[tuple[str, str]]:
        """Who did what lately, newest first."""
        async with self.life.opened() as state, state.connect() as connection:
            return [(one.actor, one.action) for one in await audit.latest(connection, 10)]


async def a_quarter_of_an_hour(life: Life) -> None:
    for name, kind, at, where in (
        ("srv-1", "server", "acme", "hq"),
        ("srv-2", "server", "acme", "ny"),
        ("srv-3", "server", "bakkerij", "hq"),
        ("ws-1", "desktop", "acme", "hq"),
    ):
        await life.add(name, kind, customer=at, site=where)
    for who, role, customer, site in (
        ("technician", Role.TECHNICIAN, None, None),
        ("viewer", Role.VIEWER, None, None),
        ("acme", Role.TECHNICIAN, "acme", None),
        ("bakkerij", Role.TECHNICIAN, "bakkerij", None),
        ("ny", Role.TECHNICIAN, "acme", "ny"),
        ("sender", Role.SENDER, "acme", None),
        ("manager", Role.MANAGER, None, None),
        ("admin", Role.ADMIN, None, None),
        ("contact", Role.CONTACT, "acme", None),
        ("other admin", Role.ADMIN, "bakkerij", None),
    ):
        await life.add_token(who, role, customer=customer, site=site)
    await life.start()
    await life.pass_(timedelta(minutes=3))
    for name in ("srv-1", "srv-3"):
        await life.leave(name)
    await life.pass_(timedelta(minutes=12))


@pytest.fixture
async def desk(copies: Copies) -> AsyncIterator[Desk]:
    async with (
        resumed(copies, a_quarter_of_an_hour) as life,
        life.collector.listening() as url,
        ClientSession() as session,
    ):
        yield Desk(life, url, session)
