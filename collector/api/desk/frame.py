"""The frame around every operation: who asks, what was asked, one transaction, and an answer or a problem."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from collector.api.auth import bearer
from collector.api.desk import etags, idempotency
from collector.api.desk.callers import Caller
from collector.api.desk.files import served
from collector.api.desk.openapi import describe
from collector.api.desk.operations import AnyOperation, Call, Download, Upload
from collector.api.desk.refusals import Refusal, refusal_of, too_many, wrong_fields
from collector.api.limits import Buckets, Rate
from collector.api.problems import FAILURES
from collector.clock import Clock
from collector.db.database import Database
from collector.fleet.tokens import Token

if TYPE_CHECKING:
    from collector.api.desk.page import Page

ROOT = "/api/desk/v1"
TIMEOUT_SECONDS = 30.0
READ_AT_ONCE_BYTES = 65_536
PRIVATE = "private, no-cache"  # kept by who asked alone, who asks each time whether it still holds
NO_NUL = "a NUL character stands in no name and in no text"  # and PostgreSQL stores none
# A console that shows several lists at once, and programs that walk through pages.
CALLER_RATE = Rate(per_second=20.0, burst=400)


@dataclass(frozen=True, slots=True)
class Document:
    """The description of the API, as it is sent."""

    body: bytes
    etag: str

    @classmethod
    def of(cls, operations: Sequence[AnyOperation], version: str) -> Self:
        body = orjson.dumps(describe(operations, ROOT, version))
        return cls(body, etags.etag_of_bytes(body))


class DeskApi:
    """`token_of` gives the access token whose secret this is, if it may be used now."""

    def __init__(
        self,
        operations: Sequence[AnyOperation],
        database: Database,
        token_of: Callable[[str], Token | None],
        clock: Clock,
        *,
        version: str,
        rate: Rate = CALLER_RATE,
    ) -> None:
        self._operations = tuple(operations)
        self._database = database
        self._token_of = token_of
        self._clock = clock
        self._calls = Buckets(rate)
        self._version = version
        self._describing = asyncio.Lock()
        self._document: Document | None = None
        self._page: Page | None = None

    def routes(self) -> list[web.RouteDef]:
        return [
            *(web.route(one.method, ROOT + one.path, self._handler(one)) for one in self._operations),
            web.get(f"{ROOT}/openapi.json", self._openapi, allow_head=False),
            web.get(f"{ROOT}/", self._readable, allow_head=False),
            web.route("*", ROOT + "/{rest:.*}", self._nothing_here),
        ]

    def _handler(self, operation: AnyOperation) -> Callable[[web.Request], Any]:
        async def handler(request: web.Request) -> web.StreamResponse:
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    return await self._answer(operation, request)
            except TimeoutError:
                return Refusal(
                    503, "busy", "this took too long; try again later", headers={"Retry-After": "5"}
                ).answer()
            except Exception as error:  # noqa: BLE001 - one request must not end the others; it is logged
                return refusal_of(error, f"{operation.method} {operation.path}").answer()

        return handler

    async def _answer(self, operation: AnyOperation, request: web.Request) -> web.Response:
        caller = self._caller(request)
        caller.require_role(operation.least_role)
        params = _params(operation, request)
        body, raw = await _body(operation, request)
        now = self._clock()
        key = idempotency.key_of(request.headers) if operation.creates else None
        if not operation.writes:
            async with self._database.connect(asks_anything=operation.is_list) as connection:
                answer = await operation.handle(Call(caller, connection, now, params, body))
            return _shown(operation, answer, request)
        async with self._database.begin(short=True) as connection:
            call = Call(caller, connection, now, params, body)
            if key is None:
                await _require_unchanged(operation, call, request)
                return _told(operation, await operation.handle(call))
            asked = idempotency.Asked(caller.token, key, f"{operation.method} {operation.at(params)}", raw)
            earlier = await idempotency.begin(connection, asked, now)
            if earlier is not None:
                return web.Response(
                    status=operation.status,
                    text=earlier,
                    content_type="application/json",
                    headers={idempotency.REPLAYED: "true"},
                )
            await _require_unchanged(operation, call, request)
            answer = await operation.handle(call)
            if isinstance(answer, BaseModel):
                kept = answer.model_copy(update=dict.fromkeys(operation.told_once))
                await idempotency.finish(connection, asked, kept.model_dump_json())
            return _told(operation, answer)

    def _caller(self, request: web.Request) -> Caller:
        """Raises Refusal (401, 403 or 429)."""
        secret = bearer(request)
        token = self._token_of(secret) if secret is not None else None
        if token is None:
            failures = request.app.get(FAILURES)
            wait_seconds = failures.take(request.remote) if failures is not None else 0.0
            if wait_seconds:
                raise too_many(wait_seconds)
            raise Refusal(
                401,
                "unauthorized",
                "this needs an access token, as 'Authorization: Bearer …': tokens create --role viewer",
                headers={"WWW-Authenticate": "Bearer"},
            )
        caller = Caller.of(token)
        if wait_seconds := self._calls.take(str(token.id)):
            raise too_many(wait_seconds)
        return caller

    async def _openapi(self, request: web.Request) -> web.StreamResponse:
        try:
            self._caller(request)
        except Refusal as refusal:
            return refusal.answer()
        document = await self._describe()
        headers = {"ETag": document.etag, "Cache-Control": PRIVATE}
        if etags.is_known(document.etag, request.headers):
            return web.Response(status=304, headers=headers)
        return web.Response(body=document.body, content_type="application/json", headers=headers)

    async def _describe(self) -> Document:
        """Made when somebody first asks: it takes more processor time than all else that a start does."""
        async with self._describing:
            if self._document is None:
                self._document = await asyncio.to_thread(Document.of, self._operations, self._version)
        return self._document

    async def _readable(self, _request: web.Request) -> web.StreamResponse:
        """For everybody: a browser has no token, and it says nothing of anyone; the same for every collector."""
        if self._page is None:
            from collector.api.desk.page import render  # noqa: PLC0415 - Jinja takes a while to load, and few look here

            self._page = await asyncio.to_thread(render, orjson.loads((await self._describe()).body))
        headers = {
            "Content-Security-Policy": self._page.policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
        }
        return web.Response(body=self._page.html, content_type="text/html", charset="utf-8", headers=headers)

    async def _nothing_here(self, request: web.Request) -> web.StreamResponse:
        try:
            self._caller(request)
        except Refusal as refusal:
            return refusal.answer()
        below = request.path.removeprefix(ROOT)
        allowed = {one.method for one in self._operations if one.is_at(below)}
        if below in ("/openapi.json", "/"):
            allowed.add("GET")
        what = f"{request.method} {request.path[:200]}"
        if allowed:
            headers = {"Allow": ", ".join(sorted(allowed))}
            return Refusal(405, "method_not_allowed", f"no {what}; see Allow", headers=headers).answer()
        return Refusal(404, "not_found", f"no {what}; see {ROOT}/").answer()


async def _require_unchanged(operation: AnyOperation, call: Call[Any, Any], request: web.Request) -> None:
    """What is to be changed is as who asks saw it, and stays so until the end of the transaction. Raises Refusal."""
    thing = operation.thing
    given = etags.meant(request.headers)
    if thing is None or (operation.changes is None and given is None):
        return
    path = thing.at(call.params)
    await etags.hold(call.connection, path)
    there = await thing.handle(Call(call.caller, call.connection, call.now, thing.params_of(call.params), None))
    etags.require_match(etags.etag_of(there, thing.moving), given, ROOT + path)


def _shown(operation: AnyOperation, answer: BaseModel | Download, request: web.Request) -> web.Response:
    """The answer of a GET, or nothing but 304 to who has it already."""
    if isinstance(answer, Download):
        return served(answer)
    etag = etags.etag_of(answer, operation.moving)
    headers = {"ETag": etag, "Cache-Control": PRIVATE}
    if etags.is_known(etag, request.headers):
        return web.Response(status=304, headers=headers)
    return web.Response(text=answer.model_dump_json(), content_type="application/json", headers=headers)


def _told(operation: AnyOperation, answer: BaseModel | Download) -> web.Response:
    """What a change has led to, with the ETag for the next one."""
    if isinstance(answer, Download):
        return served(answer)
    headers = {}
    if operation.thing is not None and operation.shows_what_it_changes:
        headers["ETag"] = etags.etag_of(answer, operation.thing.moving)
    return web.Response(
        status=operation.status, text=answer.model_dump_json(), content_type="application/json", headers=headers
    )


def _params(operation: AnyOperation, request: web.Request) -> BaseModel:
    """Raises Refusal: 404 if a part of the path can be nothing's, else 422."""
    given: dict[str, str] = dict(request.match_info)
    for name, value in request.query.items():
        if name in given:
            raise Refusal(422, "invalid", f"{name[:100]}: given twice, or part of the path")
        given[name] = value
    if any("\0" in value for value in given.values()):
        raise Refusal(422, "invalid", NO_NUL)
    try:
        params: BaseModel = operation.params.model_validate_strings(given)
    except ValidationError as error:
        if any(one["loc"] and one["loc"][0] in operation.in_path for one in error.errors()):
            raise Refusal(404, "not_found", f"there is nothing at {request.path[:200]}") from error
        raise wrong_fields(error) from error
    return params


async def _body(operation: AnyOperation, request: web.Request) -> tuple[BaseModel | Upload | None, bytes]:
    """The body as what the operation takes, and as it came. Raises Refusal."""
    if operation.body is None:
        return None, b""
    if operation.body is Upload:
        if "Content-Encoding" in request.headers:
            raise Refusal(415, "unsupported_type", "send the file as it is, without Content-Encoding")
        content = await _read(request, operation.max_body_bytes)
        return Upload(content), content
    if request.content_type != "application/json":
        raise Refusal(415, "unsupported_type", "send the body as Content-Type: application/json")
    raw = await _read(request, operation.max_body_bytes)
    if b"\\u0000" in raw:
        raise Refusal(422, "invalid", NO_NUL)
    try:
        body: BaseModel = operation.body.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise wrong_fields(error) from error
    return body, raw


async def _read(request: web.Request, max_bytes: int) -> bytes:
    read = bytearray()
    async for chunk in request.content.iter_chunked(READ_AT_ONCE_BYTES):
        read += chunk
        if len(read) > max_bytes:
            raise Refusal(413, "too_large", f"a body has at most {max_bytes} bytes here")
    return bytes(read)
