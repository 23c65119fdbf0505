"""What the collector answers over HTTP: its rooms' routes, joined in one application, and the door to it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from collector.api.connections import ConnectionLimits, GuardedSite, Listening
from collector.api.limits import FAILURES_RATE, Buckets, PeerBuckets
from collector.api.problems import FAILURES, problems_middleware
from collector.api.shortcut import Shortcut
from collector.app.settings import tls_context
from collector.config import Settings
from protocol import wire

KEEP_ALIVE_SECONDS = 300.0  # longer than the longest push interval, so that agents keep their connection
SHUTDOWN_SECONDS = 10.0


@asynccontextmanager
async def listening(
    settings: Settings, routes: Sequence[web.AbstractRouteDef], shortcut: Shortcut
) -> AsyncIterator[str]:
    """The URL that answers while this is entered; on leaving, requests in hand are finished."""
    application = web.Application(middlewares=[problems_middleware], client_max_size=wire.MAX_BODY_BYTES)
    application[FAILURES] = PeerBuckets(Buckets(FAILURES_RATE))
    application.add_routes(routes)
    runner = web.AppRunner(application, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        address = settings.listen_address
        limits = ConnectionLimits.of_this_process()
        door = Listening(address.host, address.port, KEEP_ALIVE_SECONDS, tls_context(settings), limits=limits)
        await GuardedSite(runner, door, shortcut).start()
        port = runner.addresses[0][1]
        yield f"{'https' if settings.uses_tls else 'http'}://{address.host}:{port}"
    finally:
        await runner.cleanup()
