"""Measures a handler from outside."""

import time

from aiohttp import web

from collector.api.problems import Handler, Refused
from collector.reporting.pushes import PushMetrics
from protocol.errors import TransientError


def measured(handler: Handler, metrics: PushMetrics) -> Handler:
    """`handler`, with each request's status and time noted in `metrics`."""

    async def timed(request: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        status = 500
        try:
            answer = await handler(request)
            status = answer.status
        except Refused as refused:
            status = refused.answer.status
            raise
        except TransientError:
            status = 503
            raise
        finally:
            metrics.observe(status, time.perf_counter() - started)
        return answer

    return timed
