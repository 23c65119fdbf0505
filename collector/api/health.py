"""Whether the collector is well: `/healthz`, `/readyz` and `/metrics`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from collector.api.problems import Handler, problem
from collector.db.database import Database
from collector.reporting.exposition import Exposition
from collector.reporting.totals import count_totals


@dataclass(frozen=True, slots=True)
class HealthApi:
    database: Database
    exposition: Exposition
    what_is_wrong: Callable[[], Iterable[str]]  # sentences; none: pushes are taken in and rules evaluated

    def routes(self, guard: Callable[[Handler], Handler]) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", guard(self.metrics)),
        ]

    async def healthz(self, _request: web.Request) -> web.Response:
        """The process answers."""
        return web.json_response({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.Response:
        """It takes in pushes and evaluates rules; else 503 and what is wrong."""
        wrong = list(self.what_is_wrong())
        if wrong:
            return problem(503, "not_ready", "; ".join(wrong))
        return web.json_response({"status": "ready"})

    async def metrics(self, _request: web.Request) -> web.Response:
        async with self.database.connect() as connection:
            totals = await count_totals(connection)
        return web.Response(body=self.exposition.render(totals), headers={"Content-Type": CONTENT_TYPE_LATEST})
