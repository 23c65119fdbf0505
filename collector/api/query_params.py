"""The parameters of a query request, read as Prometheus reads them. Every function raises QueryError."""

import asyncio
import math
import re
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict, MultiMapping

from collector.alerting.rulefile import parse_duration
from collector.api.query_errors import ErrorType, QueryError, client_left, invalid_parameter, quoted
from collector.clock import to_milliseconds
from collector.promql import ParseError, compile_expr
from collector.promql.nodes import Selector, Shift
from collector.series.read import Matcher, Milliseconds

Params = MultiDict[str]

MAX_FORM_BYTES = 256 << 10
MAX_FIELDS = 1_000
MAX_SELECTORS = 100
READ_SECONDS = 30.0

# What "all times" means: from the epoch to the end of the year 9999, well within what a store may count with.
FIRST_TIME: Milliseconds = 0
LAST_TIME: Milliseconds = 253_402_300_799_999
# Go's smallest and largest times, which clients send for "no bound".
_NAMED_TIMES = {
    "-292273086-05-16T16:47:06Z": FIRST_TIME,
    "292277025-08-18T07:12:54.999999999Z": LAST_TIME,
}

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})")


async def read_params(request: web.Request) -> Params:
    """The fields of a form, and behind them those of the query string: the first of a name counts."""
    fields = Params()
    if request.method == "POST" and request.content_type == "application/x-www-form-urlencoded":
        try:
            async with asyncio.timeout(READ_SECONDS):
                body = await request.clone(client_max_size=MAX_FORM_BYTES).read()
            fields.extend(parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
        except web.HTTPRequestEntityTooLarge as exc:
            raise QueryError(
                ErrorType.BAD_DATA, f"the form is larger than {MAX_FORM_BYTES} bytes; shorten the query", status=413
            ) from exc
        except ConnectionError as exc:
            raise client_left() from exc
        except TimeoutError as exc:
            raise QueryError(ErrorType.TIMEOUT, f"the form did not arrive within {READ_SECONDS:g} s") from exc
        except ValueError as exc:
            raise QueryError(ErrorType.BAD_DATA, f"error parsing form values: {exc}") from exc
    fields.extend(request.query)
    return fields


def time_param(params: Params, name: str, default: Milliseconds | None = None) -> Milliseconds:
    """A time in Unix seconds or RFC 3339, as Unix ms; without a default it must be there."""
    text = params.get(name, "")
    if not text and default is not None:
        return default
    try:
        return parse_time(text)
    except ValueError as exc:
        raise invalid_parameter(name, f"cannot parse {quoted(text)} to a valid timestamp") from exc


def parse_time(text: str) -> Milliseconds:
    """Raises ValueError."""
    if text in _NAMED_TIMES:
        return _NAMED_TIMES[text]
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        if abs(seconds) > LAST_TIME / 1000:
            raise ValueError(text)
        return round(seconds * 1000)
    if not _RFC3339.fullmatch(text):
        raise ValueError(text)
    return to_milliseconds(datetime.fromisoformat(text))


def duration_param(params: Params, name: str) -> Milliseconds:
    """A duration in seconds, or as PromQL writes it, in whole ms; it must be there."""
    text = params.get(name, "")
    try:
        return _parse_milliseconds(text)
    except ValueError as exc:
        raise invalid_parameter(name, f"cannot parse {quoted(text)} to a valid duration") from exc


def _parse_milliseconds(text: str) -> Milliseconds:
    if not _NUMBER.fullmatch(text):
        return parse_duration(text) // timedelta(milliseconds=1)
    milliseconds = float(text) * 1000
    if abs(milliseconds) > LAST_TIME:
        raise ValueError(text)
    return math.trunc(milliseconds)


def timeout_param(params: Params, longest_seconds: float) -> float:
    """How many seconds the query may take: what `timeout` asks for, within what the collector allows."""
    if not params.get("timeout", ""):
        return longest_seconds
    return min(max(0.0, duration_param(params, "timeout") / 1000), longest_seconds)


def limit_param(params: Params, name: str = "limit") -> int | None:
    """How many results at most; 0, and no `limit`, mean all of them."""
    text = params.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"\+?[0-9]{1,18}", text):
        raise invalid_parameter(name, f"{quoted(text)} is no whole number, 0 or more")
    return int(text) or None


def selector_texts(params: MultiMapping[str]) -> list[str]:
    texts = params.getall("match[]", [])
    if len(texts) > MAX_SELECTORS:
        raise invalid_parameter("match[]", f"may stand {MAX_SELECTORS} times in a request, not {len(texts)}")
    return texts


def parse_selector(text: str) -> tuple[Matcher, ...]:
    """The matchers of `up{job="x"}`."""
    try:
        root = compile_expr(text).root
    except ParseError as exc:
        raise invalid_parameter("match[]", f"parse error: {exc}") from exc
    if not isinstance(root, Selector) or root.shift != Shift():
        raise invalid_parameter("match[]", f'{quoted(text)} selects no series; write a selector such as up{{job="x"}}')
    return root.matchers
