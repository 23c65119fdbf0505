"""The two that are asked the same: a real Prometheus, and the collector's own store behind its query API."""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from aiohttp import web

from bench._prometheus import encoded_labels, encoded_sample, running_prometheus, write_request
from collector.api.query import QueryApi
from collector.promql import Limits
from collector.series.catalog import DeviceFrame, Layout
from collector.series.labels import Target
from collector.series.read import ABSENT
from collector.series.store import SampleStore
from tests.differential.worlds import SPAN, START, OneSeries

NOW = datetime.fromtimestamp(START + SPAN + 60, UTC)
DEVICES = [Target(f"d{number}", "acme", "hq", "server") for number in range(2)]

Answer = Mapping[str, Any]


class Server:
    """Asked over HTTP, over one connection that is kept."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, path: str, parameters: Mapping[str, str]) -> Answer:
        """The whole JSON answer, that of an error too."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self._connection.request("POST", f"/api/v1/{path}", urlencode(parameters), headers)
        answer: Answer = json.loads(self._connection.getresponse().read())
        return answer

    def close(self) -> None:
        self._connection.close()


class PrometheusServer(Server):
    def push(self, world: Sequence[OneSeries], run: str) -> None:
        body = write_request(
            (
                encoded_labels({**one.labels, "run": run, **_target_labels(DEVICES[one.device])}),
                b"".join(map(encoded_sample, one.times.tolist(), one.values)),
            )
            for one in world
        )
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
        self._connection.request("POST", "/api/v1/write", body, headers)
        answer = self._connection.getresponse()
        assert answer.status in {200, 204}, answer.read()
        answer.read()


class CollectorServer(Server):
    def __init__(self, port: int, store: SampleStore, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(port)
        self._store = store
        self._loop = loop
        self._layouts: list[Layout] = []  # kept, as ingest keeps those of its devices

    def push(self, world: Sequence[OneSeries], run: str) -> None:
        asyncio.run_coroutine_threadsafe(self._append(world, run), self._loop).result(60)

    async def _append(self, world: Sequence[OneSeries], run: str) -> None:
        """One frame of a device for each time at which any of its series has a sample."""
        for number, target in enumerate(DEVICES):
            own = [one for one in world if one.device == number]
            if not own:
                continue
            named = [(one.labels["__name__"], {**one.labels, "__name__": "", "run": run}) for one in own]
            # A stream for each world: else the series of the world before would end here.
            layout = self._store.layout(target, self._store.series(named), stream=run)
            self._layouts.append(layout)
            times = np.unique(np.concatenate([one.times for one in own]))
            values = np.full((len(times), len(own)), ABSENT)
            for column, one in enumerate(own):
                values[np.searchsorted(times, one.times), column] = one.values
            await self._store.append(
                [DeviceFrame(layout, at, at, row.tobytes()) for at, row in zip(times.tolist(), values, strict=True)]
            )


def _target_labels(target: Target) -> dict[str, str]:
    return {"device_id": target.device_id, "customer": target.customer, "site": target.site, "kind": target.kind}


@contextmanager
def prometheus(program: str, folder: Path) -> Iterator[PrometheusServer]:
    with running_prometheus(program, folder) as running:
        server = PrometheusServer(running.port)
        yield server
        server.close()


@contextmanager
def collector(folder: Path) -> Iterator[CollectorServer]:
    """A real store and the query API on a real port, on a loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    async def start() -> tuple[SampleStore, web.AppRunner, QueryApi]:
        store = await SampleStore.open(folder, windows={None: 7200.0}, clock=lambda: NOW)
        lookback = timedelta(minutes=5)
        limits = Limits(seconds=60.0)
        api = QueryApi(store.reader, lambda: NOW, "1", list, lookback=lookback, limits=limits)
        app = web.Application()
        app.add_routes(api.routes(lambda handler: handler))
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return store, runner, api

    try:
        store, runner, api = run(start())
        server = CollectorServer(runner.addresses[0][1], store, loop)
        yield server
        server.close()
        run(runner.cleanup())
        api.close()
        run(store.close())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
