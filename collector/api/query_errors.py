"""Refusals of the query API, in Prometheus's words: `errorType` for programs, `error` for people."""

from collections.abc import Mapping
from enum import StrEnum

import orjson
from aiohttp import web

from collector.api.problems import RETRY_AFTER_SECONDS
from collector.promql import LimitError, ParseError, PromqlError
from protocol.errors import QuarkpulseError


class ErrorType(StrEnum):
    """Source: Prometheus 3, `web/api/v1/api.go`."""

    BAD_DATA = "bad_data"
    EXECUTION = "execution"
    TIMEOUT = "timeout"
    CANCELED = "canceled"
    UNAVAILABLE = "unavailable"
    NOT_FOUND = "not_found"
    INTERNAL = "internal"


STATUS: Mapping[ErrorType, int] = {
    ErrorType.BAD_DATA: 400,
    ErrorType.EXECUTION: 422,
    ErrorType.TIMEOUT: 503,
    ErrorType.CANCELED: 499,  # nginx's code for a client that left, as Prometheus uses it
    ErrorType.UNAVAILABLE: 503,
    ErrorType.NOT_FOUND: 404,
    ErrorType.INTERNAL: 500,
}


class QueryError(QuarkpulseError):
    """A request of the query API that gets no result; `status` is that of its type unless another one says more."""

    def __init__(self, kind: ErrorType, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = STATUS[kind] if status is None else status

    def response(self) -> web.Response:
        body = orjson.dumps({"status": "error", "errorType": self.kind, "error": str(self)})
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if self.status == 503 else None
        return web.Response(status=self.status, body=body, content_type="application/json", headers=headers)


def invalid_parameter(name: str, reason: object) -> QueryError:
    return QueryError(ErrorType.BAD_DATA, f'invalid parameter "{name}": {reason}')


def client_left() -> QueryError:
    """Nobody reads it, but every request ends in an answer."""
    return QueryError(ErrorType.CANCELED, "query was canceled: the client has left")


def quoted(text: str) -> str:
    """A sender's text inside a message: escaped, and cut where it is long."""
    return orjson.dumps(text[:100]).decode()


def of_promql(error: PromqlError) -> QueryError:
    """How Prometheus files what went wrong with a query."""
    match error:
        case ParseError():
            return invalid_parameter("query", f"parse error: {error}")
        case LimitError(limit="seconds"):
            return QueryError(ErrorType.TIMEOUT, f"query timed out in expression evaluation: {error}")
        case _:
            return QueryError(ErrorType.EXECUTION, str(error))
