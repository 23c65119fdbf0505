"""Long answers, sent piece by piece as a thread makes them."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

from aiohttp import web

from collector.api.query_errors import QueryError
from collector.api.query_workers import QueryWorkers

logger = logging.getLogger(__name__)

CHUNK_CHARACTERS = 128 << 10


async def stream(
    request: web.Request,
    workers: QueryWorkers,
    begun: list[bytes],
    rest: Iterator[bytes],
    *,
    headers: dict[str, str],
    seconds: float,
) -> web.StreamResponse:
    """`begun` and then `rest`, all of it within `seconds`."""
    response = web.StreamResponse(headers=headers)
    response.enable_compression()
    is_wanted = partial(is_connected, request)
    try:
        async with asyncio.timeout(seconds):
            await response.prepare(request)
            for piece in begun:
                await response.write(piece)
            while (more := await workers.run(lambda: next(rest, None), is_wanted)) is not None:
                await response.write(more)
            await response.write_eof()
    except (ConnectionError, QueryError):
        logger.debug("client left before its answer was sent: path=%s", request.path)
    except TimeoutError:
        logger.warning("answer broken off, read too slowly: path=%s limit_seconds=%g", request.path, seconds)
        _break_off(request)
    except Exception:
        logger.exception("answer broken off: path=%s", request.path)
        _break_off(request)
    return response


def first_pieces(pieces: Iterator[bytes]) -> tuple[list[bytes], Iterator[bytes]]:
    """The first two pieces, so that a short answer is known for one, and what gives the others."""
    return list(islice(pieces, 2)), pieces


def chunks_of(pieces: Iterable[str]) -> Iterator[bytes]:
    """The pieces joined to chunks that are worth a write each."""
    gathered: list[str] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= CHUNK_CHARACTERS:
            yield "".join(gathered).encode()
            gathered, size = [], 0
    yield "".join(gathered).encode()


def is_connected(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


def _break_off(request: web.Request) -> None:
    """Ends the connection: when a part of the answer is out, nothing else tells that the rest will not come."""
    if request.transport is not None:
        request.transport.abort()
