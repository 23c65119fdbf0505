"""Prometheus's query API, so that Grafana, promtool and the like may use the collector as their Prometheus.

Source of the shapes, words and limits: Prometheus 3, `web/api/v1/api.go`.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import islice

import numpy as np
from aiohttp import web

from collector.api.problems import Handler
from collector.api.query_errors import ErrorType, QueryError, invalid_parameter, of_promql
from collector.api.query_json import (
    encode_data,
    encode_list,
    encode_result,
    in_label_order,
    label_sets_as_json,
    texts_as_json,
)
from collector.api.query_params import (
    FIRST_TIME,
    LAST_TIME,
    Params,
    duration_param,
    limit_param,
    parse_selector,
    read_params,
    selector_texts,
    time_param,
    timeout_param,
)
from collector.api.query_rules import Alerting, describe_alerts, describe_rules
from collector.api.query_workers import QueryWorkers, Stopwatch
from collector.api.streaming import first_pieces, is_connected, stream
from collector.clock import Clock, to_milliseconds
from collector.promql import Engine, Limits, PromqlError, compile_expr
from collector.promql.nodes import RangeSelector, Subquery, Text
from collector.series.labels import NAME
from collector.series.read import Milliseconds, Selection, SeriesReader
from protocol.errors import QuarkpulseError, TransientError

logger = logging.getLogger(__name__)

Compute = Callable[[Stopwatch], Iterator[bytes]]  # runs in a worker thread; gives the body in pieces

SPOKEN_VERSION = "3.0.0"  # clients ask for Prometheus's version to know what they may send
MAX_STEPS = 11_000  # between the points of one series: a week by the minute
SEND_SECONDS = 60.0  # for a whole answer: a client that reads slower keeps others from their turn
COMPRESS_FROM_BYTES = 4_096
UNITS = frozenset({"seconds", "bytes", "ratio", "celsius", "hertz", "volts", "watts", "joules", "meters", "grams"})


class QueryApi:
    """The routes below `/api/v1`. `limits` and `lookback` are those of the queries; rules have their own engine."""

    def __init__(
        self,
        reader: SeriesReader,
        clock: Clock,
        version: str,
        alerting: Alerting,
        *,
        lookback: timedelta,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        at_once: int = 4,
        waiting: int = 100,
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._version = version
        self._alerting = alerting
        self._lookback = lookback
        self._limits = limits
        self._workers = QueryWorkers(at_once=at_once, waiting=waiting)

    def routes(self, guard: Callable[[Handler], Handler]) -> list[web.RouteDef]:
        """All routes, each handler wrapped by `guard`."""
        asked = {
            "query": self._query,
            "query_range": self._query_range,
            "series": self._series,
            "labels": self._labels,
        }
        read = {
            "label/{name}/values": self._label_values,
            "metadata": self._metadata,
            "rules": self._rules,
            "alerts": self._alerts,
            "status/buildinfo": self._build_info,
            "{path:.+}": self._not_found,
        }
        return [
            *(web.post(f"/api/v1/{path}", guard(_answering(handler))) for path, handler in asked.items()),
            *(web.get(f"/api/v1/{path}", guard(_answering(handler))) for path, handler in (asked | read).items()),
        ]

    @property
    def in_hand(self) -> int:
        """How many queries run, are being sent, or wait."""
        return self._workers.in_hand

    def close(self) -> None:
        """Ends the worker threads; to be called when the server takes no more requests."""
        self._workers.close()

    async def _query(self, request: web.Request) -> web.StreamResponse:
        params = await read_params(request)
        limit = limit_param(params)
        at = time_param(params, "time", self._now())
        timeout = timeout_param(params, self._limits.seconds)
        text = params.get("query", "")

        def compute(watch: Stopwatch) -> Iterator[bytes]:
            plan = compile_expr(text)
            return encode_result(self._engine(timeout, watch).instant(plan, at), at, limit)

        return await self._answer(request, compute, timeout)

    async def _query_range(self, request: web.Request) -> web.StreamResponse:
        params = await read_params(request)
        limit = limit_param(params)
        start, end = time_param(params, "start"), time_param(params, "end")
        if end < start:
            raise invalid_parameter("end", "end timestamp must not be before start time")
        step = duration_param(params, "step")
        if step <= 0:
            raise invalid_parameter(
                "step", "zero or negative query resolution step widths are not accepted. Try a positive integer"
            )
        if (end - start) // step > MAX_STEPS:
            raise QueryError(
                ErrorType.BAD_DATA,
                f"exceeded maximum resolution of {MAX_STEPS:,} points per timeseries. "
                "Try decreasing the query resolution (?step=XX)",
            )
        timeout = timeout_param(params, self._limits.seconds)
        text = params.get("query", "")

        def compute(watch: Stopwatch) -> Iterator[bytes]:
            plan = compile_expr(text)
            if isinstance(plan.root, RangeSelector | Subquery | Text):
                kind = "string" if isinstance(plan.root, Text) else "range vector"
                raise invalid_parameter(
                    "query", f'invalid expression type "{kind}" for range query, must be Scalar or instant Vector'
                )
            return encode_result(self._engine(timeout, watch).range(plan, start, end, step), end, limit)

        return await self._answer(request, compute, timeout)

    async def _series(self, request: web.Request) -> web.StreamResponse:
        params = await read_params(request)
        limit = limit_param(params)
        if not selector_texts(params):
            raise QueryError(ErrorType.BAD_DATA, "no match[] parameter provided")
        select = self._selecting(params)

        def compute(_: Stopwatch) -> Iterator[bytes]:
            selections = select()
            series = (
                label_sets_as_json(
                    found.labels, self._reader.strings, in_label_order(found.labels, self._reader.strings)
                )
                for found in selections
            )
            if len(selections) == 1:
                truncated = limit is not None and len(selections[0]) > limit
                return encode_list(islice(next(series), limit), truncated=truncated)
            distinct = dict.fromkeys(one for sets in series for one in sets)
            return encode_list(islice(distinct, limit), truncated=limit is not None and len(distinct) > limit)

        return await self._answer(request, compute, self._limits.seconds)

    async def _labels(self, request: web.Request) -> web.StreamResponse:
        params = await read_params(request)
        limit = limit_param(params)
        select = self._selecting(params)

        def compute(_: Stopwatch) -> Iterator[bytes]:
            names = {name for found in select() for name, column in found.labels.columns.items() if column.any()}
            return _sorted_texts(names, limit)

        return await self._answer(request, compute, self._limits.seconds)

    async def _label_values(self, request: web.Request) -> web.StreamResponse:
        params = await read_params(request)
        limit = limit_param(params)
        name = request.match_info["name"]
        select = self._selecting(params)

        def compute(_: Stopwatch) -> Iterator[bytes]:
            return _sorted_texts({text for found in select() for text in self._texts(found, name)}, limit)

        return await self._answer(request, compute, self._limits.seconds)

    async def _metadata(self, request: web.Request) -> web.StreamResponse:
        params = await read_params(request)
        limit = limit_param(params)
        metric = params.get("metric", "")

        def compute(_: Stopwatch) -> Iterator[bytes]:
            names = sorted(self._texts(self._reader.select((), FIRST_TIME, LAST_TIME), NAME))
            wanted = [name for name in names if metric in ("", name)][:limit]
            return encode_data({name: [_metadata_of(name)] for name in wanted})

        return await self._answer(request, compute, self._limits.seconds)

    async def _rules(self, request: web.Request) -> web.StreamResponse:
        params = await read_params(request)
        groups = self._alerting()

        def compute(_: Stopwatch) -> Iterator[bytes]:
            return encode_data(describe_rules(groups, params))

        return await self._answer(request, compute, self._limits.seconds)

    async def _alerts(self, request: web.Request) -> web.StreamResponse:
        groups = self._alerting()

        def compute(_: Stopwatch) -> Iterator[bytes]:
            return encode_data(describe_alerts(groups))

        return await self._answer(request, compute, self._limits.seconds)

    async def _build_info(self, request: web.Request) -> web.StreamResponse:
        info = dict.fromkeys(("branch", "buildUser", "buildDate", "goVersion"), "")
        return web.Response(
            body=b"".join(encode_data({"version": SPOKEN_VERSION, "revision": f"quarkpulse {self._version}", **info})),
            content_type="application/json",
        )

    async def _not_found(self, request: web.Request) -> web.StreamResponse:
        raise QueryError(ErrorType.NOT_FOUND, f"{request.path}: no such part of the query API")

    def _now(self) -> Milliseconds:
        return to_milliseconds(self._clock())

    def _engine(self, seconds: float, watch: Stopwatch) -> Engine:
        """An engine is made in no time, so each query has one with its own clock and its own time limit."""
        limits = replace(self._limits, seconds=seconds, steps=MAX_STEPS + 1)
        return Engine(self._reader, lookback=self._lookback, limits=limits, monotonic=watch)

    def _selecting(self, params: Params) -> Callable[[], list[Selection]]:
        """What finds the series of `match[]` from `start` to `end`, both included; without `match[]`, all series."""
        texts = selector_texts(params)
        start, end = time_param(params, "start", FIRST_TIME), time_param(params, "end", LAST_TIME)

        def select() -> list[Selection]:
            selectors = dict.fromkeys(parse_selector(text) for text in texts) or {(): None}
            return [self._reader.select(matchers, start - 1, end) for matchers in selectors]

        return select

    def _texts(self, found: Selection, name: str) -> list[str]:
        """The values of a label among the series found."""
        column = found.labels.columns.get(name)
        codes = [] if column is None else np.unique(column).tolist()
        return [self._reader.strings.text(code) for code in codes if code]

    async def _answer(self, request: web.Request, compute: Compute, seconds: float) -> web.StreamResponse:
        """Computes and sends an answer. A long one keeps its turn until it is sent, which bounds what is in memory."""
        is_wanted = partial(is_connected, request)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(seconds):
                    watch = await stack.enter_async_context(self._workers.turn())
                    begun, rest = await self._workers.run(lambda: first_pieces(compute(watch)), is_wanted)
            except TimeoutError as exc:
                raise QueryError(ErrorType.TIMEOUT, f"query timed out after {seconds:g} s") from exc
            if len(begun) == 1:
                response = web.Response(body=begun[0], content_type="application/json")
                if len(begun[0]) >= COMPRESS_FROM_BYTES:
                    response.enable_compression()
                return response
            headers = {"Content-Type": "application/json"}
            return await stream(request, self._workers, begun, rest, headers=headers, seconds=SEND_SECONDS)


def _answering(handler: Handler) -> Handler:
    """The handler with everything that it raises answered in Prometheus's shape."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except QueryError as error:
            return error.response()
        except PromqlError as error:
            return of_promql(error).response()
        except TransientError as error:
            return QueryError(ErrorType.UNAVAILABLE, str(error)).response()
        except QuarkpulseError as error:
            return QueryError(ErrorType.EXECUTION, str(error)).response()
        except Exception:
            logger.exception("query failed: path=%s", request.path)
            return QueryError(ErrorType.INTERNAL, "the collector failed to answer; its log says why").response()

    return answer


def _sorted_texts(texts: set[str], limit: int | None) -> Iterator[bytes]:
    return encode_list(texts_as_json(sorted(texts)[:limit]), truncated=limit is not None and len(texts) > limit)


def _metadata_of(metric: str) -> dict[str, str]:
    """What a metric's name tells of it: senders tell no more."""
    base = metric.removesuffix("_total")
    unit = base.rpartition("_")[2]
    kind = "counter" if base != metric else "gauge" if unit == "ratio" else "unknown"
    return {"type": kind, "help": "", "unit": unit if unit in UNITS else ""}
