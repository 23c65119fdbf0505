"""A query API on a small store whose every sample can be told by heart."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from aiohttp import web
from aiohttp.test_utils import TestClient

from collector.api.problems import Handler
from collector.api.query import QueryApi
from collector.api.query_rules import Alerting, EvaluatedGroup
from collector.promql import Limits
from collector.series.in_memory import InMemoryReader
from collector.series.read import SeriesReader

Client = TestClient[web.Request, web.Application]
Query = Mapping[str, str | float] | Sequence[tuple[str, str]]  # the parameters of a request

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
T = 1_767_614_400  # NOW in Unix seconds


def small_store() -> InMemoryReader:
    """Three `up`, one of them gone since five minutes ago, and a counter every 15 s for the last two minutes."""
    at = T * 1000
    counter = [(at - 15_000 * back, 100.0 - 2.5 * back) for back in range(8, -1, -1)]
    return InMemoryReader(
        [
            ({"__name__": "up", "job": "web", "instance": "b"}, [(at - 60_000, 1.0), (at, 0.0)]),
            ({"__name__": "up", "job": "web", "instance": "a"}, [(at - 60_000, 1.0), (at, 1.0)]),
            ({"__name__": "up", "job": "db", "instance": "a"}, [(at - 300_000, 1.0)]),
            ({"__name__": "requests_total", "job": "web", "instance": "a"}, counter),
            ({"__name__": "odd_ratio", "case": "nan"}, [(at, float("nan"))]),
            ({"__name__": "odd_ratio", "case": 'inf "quoted" é'}, [(at, float("-inf"))]),
        ]
    )


def no_guard(handler: Handler) -> Handler:
    return handler


def no_alerting() -> Sequence[EvaluatedGroup]:
    return []


def query_api(
    reader: SeriesReader,
    *,
    alerting: Alerting = no_alerting,
    limits: Limits = Limits(seconds=30.0),  # noqa: B008 - frozen
    at_once: int = 2,
    waiting: int = 8,
) -> QueryApi:
    return QueryApi(
        reader,
        lambda: NOW,
        "1.2.3",
        alerting,
        lookback=timedelta(minutes=5),
        limits=limits,
        at_once=at_once,
        waiting=waiting,
    )


def application(api: QueryApi) -> web.Application:
    async def close(_: web.Application) -> None:
        api.close()

    app = web.Application()
    app.add_routes(api.routes(no_guard))
    app.on_cleanup.append(close)
    return app
