"""Who may read what is about all customers."""

from datetime import UTC, datetime

from aiohttp import web
from pytest_aiohttp import AiohttpClient

from collector.api.auth import ReadAccess
from collector.api.problems import problems_middleware
from collector.fleet.roles import Role
from collector.fleet.tokens import Token

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def token(role: Role, customer: str | None = None) -> Token:
    return Token(1, role, customer, None, None, None, NOW, None, None)


TOKENS = {
    "viewer": token(Role.VIEWER),
    "acme": token(Role.VIEWER, "acme"),
    "sender": token(Role.SENDER),
}


async def test_a_known_token_that_may_not_read_is_told_why(aiohttp_client: AiohttpClient) -> None:
    async def read(_request: web.Request) -> web.StreamResponse:
        return web.Response()

    access = ReadAccess(TOKENS.get, only_loopback=False)
    application = web.Application(middlewares=[problems_middleware])
    application.add_routes([web.get("/", access.guard(read))])
    client = await aiohttp_client(application)

    async def asked(secret: str) -> tuple[int, str]:
        async with client.get("/", headers={"Authorization": f"Bearer {secret}"}) as response:
            return response.status, await response.text()

    assert await asked("viewer") == (200, "")
    status, text = await asked("guessed")
    assert (status, "--role viewer" in text) == (401, True)
    status, text = await asked("acme")
    assert (status, "the token is of acme alone" in text) == (403, True)
    status, text = await asked("sender")
    assert (status, "a token of role sender does not read" in text) == (403, True)
