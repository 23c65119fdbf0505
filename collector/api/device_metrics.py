"""`/metrics/devices`: the newest sample of every series of the fleet, for a Prometheus that scrapes the collector as it
would federate another one. Thresholds are among them, and presence: what a ruler needs to evaluate the same rules.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import numpy as np
from aiohttp import web

from collector.alerting.tenancy import THRESHOLD_METRIC
from collector.api.auth import READING_ROLES, ReadAccess, bearer
from collector.api.problems import Refused, problem
from collector.api.query_errors import QueryError
from collector.api.query_json import format_float
from collector.api.query_params import parse_selector, selector_texts
from collector.api.query_workers import QueryWorkers
from collector.api.streaming import chunks_of, first_pieces, is_connected, stream
from collector.clock import Clock, to_milliseconds
from collector.fleet.names import COLLECTOR
from collector.fleet.tokens import Token
from collector.series.labels import NAME, Indexes, LabelFrame, Strings, Target
from collector.series.read import Latest, Mask, Matcher, MatchOp, Milliseconds, Selection, SeriesReader
from protocol.wire import RESERVED_METRICS

SEND_SECONDS = 60.0
BLOCK_ROWS = 512
HEADERS = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
FILTERS = ("customer", "site", "device_id", "kind")  # as parameters; `match[]` takes any selector

Matchers = tuple[Matcher, ...]


@dataclass(frozen=True, slots=True)
class DeviceMetrics:
    """`reader` gives the pushed series and, by their name, thresholds."""

    reader: SeriesReader
    access: ReadAccess
    clock: Clock
    lookback: timedelta
    targets: Callable[[], Iterable[Target]]  # what is looked after
    workers: QueryWorkers = field(default_factory=lambda: QueryWorkers(at_once=2, waiting=20))

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/metrics/devices", self.get)]

    def close(self) -> None:
        self.workers.close()

    async def get(self, request: web.Request) -> web.StreamResponse:
        bounds = self._bounds(request)
        at = to_milliseconds(self.clock())
        try:
            selectors = list(dict.fromkeys(map(parse_selector, selector_texts(request.query)))) or [()]
            wanted = [kind for one in selectors for kind in self._kinds(one, bounds)]
            lookback_ms = self.lookback // timedelta(milliseconds=1)
            compute = partial(exposition, self.reader, wanted, at, lookback_ms)
            async with self.workers.turn():
                async with asyncio.timeout(SEND_SECONDS):
                    is_wanted = partial(is_connected, request)
                    begun, rest = await self.workers.run(lambda: first_pieces(compute()), is_wanted)
                return await stream(request, self.workers, begun, rest, headers=HEADERS, seconds=SEND_SECONDS)
        except QueryError as error:
            return error.response()

    def _kinds(self, selector: Matchers, bounds: Mapping[str, str]) -> Iterator["Wanted"]:
        """The pushed series of a selector, and its thresholds, which bear no more than a device, or a site or customer,
        and are found by their name alone."""
        by_name = [one for one in selector if one.label == NAME]
        if Matcher(NAME, MatchOp.EQUAL, THRESHOLD_METRIC) not in by_name:
            bounding = (Matcher(name, MatchOp.EQUAL, text) for name, text in bounds.items())
            yield Wanted((*selector, *bounding, *LEFT_OUT))
        if all(one.matches(THRESHOLD_METRIC) for one in by_name):
            named = selector if by_name else (Matcher(NAME, MatchOp.EQUAL, THRESHOLD_METRIC), *selector)
            yield Wanted((*named, LEFT_OUT[0]), self._owners(bounds) if bounds else None)

    def _owners(self, bounds: Mapping[str, str]) -> Mapping[str, Set[str]]:
        within = [one for one in self.targets() if all(getattr(one, name) == text for name, text in bounds.items())]
        return {name: {getattr(one, name) for one in within} | {""} for name in ("device_id", "site", "customer")}

    def _bounds(self, request: web.Request) -> dict[str, str]:
        """What the parameters and the token leave of the fleet. Raises Refused (401 or 403)."""
        asked = {name: request.query[name] for name in FILTERS if request.query.get(name)}
        if bearer(request) is not None or not self.access.is_local(request):
            token = self._token(request)
            asked |= {"customer": token.customer} if token.customer is not None else {}
            asked |= {"site": token.site} if token.site is not None else {}
        return asked

    def _token(self, request: web.Request) -> Token:
        secret = bearer(request)
        token = self.access.token_of(secret) if secret is not None else None
        if token is None:
            message = "reading needs a viewer's token: quarkpulse-collector tokens create --role viewer"
            raise Refused(problem(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"}))
        if token.role not in READING_ROLES:
            raise Refused(problem(403, "forbidden", f"a token of role {token.role} does not read; use a viewer's"))
        return token


@dataclass(frozen=True, slots=True)
class Wanted:
    """Series to be told: those that `matchers` pick, and of them those whose labels have one of these texts each."""

    matchers: Matchers
    owners: Mapping[str, Set[str]] | None = None


# The collector's own health is at /metrics, and a ruler makes its own series of alerts.
LEFT_OUT = (
    Matcher("device_id", MatchOp.NOT_EQUAL, COLLECTOR),
    *(Matcher(NAME, MatchOp.NOT_EQUAL, metric) for metric in sorted(RESERVED_METRICS)),
)


def exposition(
    reader: SeriesReader, wanted: Sequence[Wanted], at: Milliseconds, lookback_ms: Milliseconds
) -> Iterator[bytes]:
    """The text format, each series once, those of one metric together, with the times of their samples."""
    seen: set[str] | None = set() if len(wanted) > 2 else None  # two: what is pushed, and thresholds
    found: list[tuple[Wanted, Selection, Latest]] = []
    for one in wanted:
        selection = reader.select(one.matchers, at - lookback_ms, at)
        found.append((one, selection, reader.latest(selection, at, lookback_ms)))
    return chunks_of(_lines(reader.strings, found, seen))


def _lines(strings: Strings, found: Iterable[tuple[Wanted, Selection, Latest]], seen: set[str] | None) -> Iterator[str]:
    by_metric: dict[str, list[tuple[Selection, Latest, Indexes]]] = {}
    for one, selection, latest in found:
        names = selection.labels.columns.get(NAME)
        rows = np.flatnonzero(latest.present & _owned(one, selection.labels, strings))
        if names is None or not len(rows):
            continue
        rows = rows[np.argsort(names[rows], kind="stable")]
        for some in np.split(rows, np.flatnonzero(np.diff(names[rows])) + 1):
            by_metric.setdefault(strings.text(int(names[some[0]])), []).append((selection, latest, some))
    for metric, parts in by_metric.items():
        yield f"# TYPE {metric} untyped\n"
        for selection, latest, rows in parts:
            series = _series(selection.labels, strings, rows)
            values, times = latest.values[rows].tolist(), latest.times[rows].tolist()
            for labels, value, t in zip(series, values, times, strict=True):
                if seen is not None:
                    if metric + labels in seen:
                        continue
                    seen.add(metric + labels)
                yield f"{metric}{labels} {format_float(value)} {t}\n"


def _owned(wanted: Wanted, labels: LabelFrame, strings: Strings) -> Mask:
    held = np.ones(labels.length, dtype=np.bool_)
    for name, texts in (wanted.owners or {}).items():
        if (column := labels.columns.get(name)) is not None:
            codes, places = np.unique(column, return_inverse=True)
            held &= np.array([strings.text(code) in texts for code in codes.tolist()], dtype=np.bool_)[places]
    return held


def _series(labels: LabelFrame, strings: Strings, rows: Indexes) -> Iterator[str]:
    """`{name="value",…}` of each row, a block of them at a time: each column is looked at once per block."""
    columns = [(f'{name}="', labels.columns[name]) for name in sorted(labels.columns) if name != NAME]
    known: dict[int, str] = {}
    for low in range(0, len(rows), BLOCK_ROWS):
        block = rows[low : low + BLOCK_ROWS]
        pairs: list[list[str]] = [[] for _ in range(len(block))]
        for key, column in columns:
            for row, code in zip(pairs, column[block].tolist(), strict=True):
                if code:
                    if code not in known:
                        known[code] = _escaped(strings.text(code)) + '"'
                    row.append(key + known[code])
        for row in pairs:
            yield "{" + ",".join(row) + "}" if row else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
