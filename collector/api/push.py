"""`POST /v1/push`: the one request that comes from every device every minute, so it is kept short.

Authenticate, read the body within bounds, check it, store it durably, answer. Plain ones mostly go a
shorter way, `collector.api.shortcut`.
"""

import asyncio
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson
from aiohttp import web
from pydantic import ValidationError

from collector.api.auth import bearer
from collector.api.limits import PUSH_RATE, Buckets
from collector.api.problems import Refused, invalid, problem, too_many
from collector.ingest.native import Ingest, Sender
from protocol import wire
from protocol.models import Push

BODY_SECONDS = 30.0  # for a whole body; 1 MiB then takes 280 kbit/s, and an agent sends a tenth of that
JSON_HEADERS = {"Content-Type": "application/json"}
GZIP_WINDOW_BITS = 31  # zlib's way to say: gzip, any window


@dataclass(frozen=True, slots=True)
class PushApi:
    """Serves pushes. The server must leave bodies compressed (`auto_decompress=False`), so that a gzip bomb is stopped
    here while it grows."""

    authenticate: Callable[[str | None], Sender]  # whose secret this is; raises Refused
    ingest: Ingest
    rate: Buckets = field(default_factory=lambda: Buckets(PUSH_RATE))  # by device

    def routes(self) -> list[web.RouteDef]:
        return [web.post(wire.PUSH_PATH, self.push)]

    async def push(self, request: web.Request) -> web.Response:
        """Answers 200 once the frames are on disk. What is refused: 400 no JSON or broken gzip, 408 too slow, 413
        too large, 415 another encoding, 422 wrong types, 429 too often; what `authenticate` raises; 503 when the store
        is busy (TransientError)."""
        sender = self.authenticate(bearer(request))
        wait_seconds = self.rate.take(sender.target.device_id)
        if wait_seconds:
            raise Refused(too_many(wait_seconds))
        body = await read_body(request)
        try:
            push = Push.model_validate_json(body)
        except ValidationError as error:
            return invalid(error)
        if push.inventory is not None and len(orjson.dumps(push.inventory)) > wire.MAX_INVENTORY_BYTES:
            return problem(422, "invalid", f"inventory: more than {wire.MAX_INVENTORY_BYTES} bytes as JSON")
        answer = await self.ingest.push(sender, push)
        return web.Response(body=orjson.dumps(answer), headers=JSON_HEADERS)


async def read_body(request: web.Request) -> bytes:
    """A request's body, unzipped, within the limits of the protocol. Raises Refused."""
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise Refused(problem(415, "unsupported_encoding", f"bodies may be gzip or plain, not {encoding[:40]!r}"))
    if (request.content_length or 0) > wire.MAX_BODY_BYTES:
        raise Refused(_too_large("as sent", wire.MAX_BODY_BYTES))
    body = await _read_raw(request)
    if len(body) > wire.MAX_BODY_BYTES:
        raise Refused(_too_large("as sent", wire.MAX_BODY_BYTES))
    return gunzip(body) if encoding == "gzip" else body


def gunzip(body: bytes) -> bytes:
    """Unzip one gzip stream, never making more than is allowed. Raises Refused."""
    unzipper = zlib.decompressobj(GZIP_WINDOW_BITS)
    try:
        decoded = unzipper.decompress(body, wire.MAX_DECODED_BYTES + 1)
    except zlib.error as error:
        raise Refused(problem(400, "malformed", "the body is not gzip, though Content-Encoding says so")) from error
    if len(decoded) > wire.MAX_DECODED_BYTES:
        raise Refused(_too_large("unzipped", wire.MAX_DECODED_BYTES))
    if not unzipper.eof or unzipper.unused_data:
        raise Refused(problem(400, "malformed", "the gzip body is cut off, or something follows it"))
    return decoded


async def _read_raw(request: web.Request) -> bytes:
    """The body as sent, at least the first byte too many of one that is too large. Raises Refused."""
    content = request.content
    if content.is_eof():  # all of it came together with the headers, as most do: no need for a timer
        return await content.readany()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while chunk := await content.readany():
                body += chunk
                if len(body) > wire.MAX_BODY_BYTES:
                    break
    except TimeoutError as error:
        answer = problem(408, "too_slow", f"the body did not arrive within {BODY_SECONDS:.0f} s")
        answer.force_close()
        raise Refused(answer) from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise Refused(problem(400, "malformed", "the body is cut off, or its chunks are broken")) from error
    return bytes(body)


def _too_large(how: str, limit: int) -> web.Response:
    return problem(413, "too_large", f"a push has at most {limit} bytes {how}; send it in parts")
