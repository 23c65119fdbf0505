"""Refusals as JSON: every error of the API has the shape of `protocol.wire.Problem`."""

import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence

import orjson
from aiohttp import web
from pydantic import ValidationError

from collector.api.limits import PeerBuckets
from collector.db.errors import DatabaseError
from protocol import wire
from protocol.errors import QuarkpulseError, TransientError

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Who fails to prove who they are, by address. An application without it answers any number of them.
FAILURES = web.AppKey("FAILURES", PeerBuckets)

RETRY_AFTER_SECONDS = 5
MAX_DETAILS = 20

_WORDS = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class Refused(Exception):  # noqa: N818 - it carries an answer
    """Ends a request with an answer that says why."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__(answer.status)
        self.answer = answer


def problem(
    status: int,
    error: str,
    message: str,
    *,
    headers: Mapping[str, str] | None = None,
    details: Sequence[wire.ProblemDetail] = (),
) -> web.Response:
    """A refusal: `error` is a word for programs, `message` a sentence for people."""
    body = orjson.dumps(wire.Problem(error=error, message=message, details=list(details)))
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def too_many(wait_seconds: float) -> web.Response:
    """The refusal of a sender that asks more often than it may; it may again after `wait_seconds`."""
    headers = {"Retry-After": str(math.ceil(wait_seconds))}
    return problem(429, "too_many", "too many requests; come back when Retry-After has passed", headers=headers)


def invalid(error: ValidationError) -> web.Response:
    """The refusal of a body that is not what it should be: 400 if it is no JSON, else 422 naming each field."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        return problem(400, "malformed", f"the body is not JSON: {found[0]['msg']}")
    details = [wire.ProblemDetail(loc=".".join(map(str, one["loc"])), msg=one["msg"]) for one in found[:MAX_DETAILS]]
    first = details[0]
    return problem(422, "invalid", f"{first['loc'] or 'body'}: {first['msg']}", details=details)


def failed(error: Exception, what: str) -> web.Response:
    """The answer when an error ended `what` was asked. What nobody foresaw is logged and says no more than 500, and so
    is a database that cannot be used: it is not the caller who can mend that."""
    if isinstance(error, TransientError):
        return problem(503, "busy", str(error), headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    if isinstance(error, QuarkpulseError) and not isinstance(error, DatabaseError):
        return problem(400, "refused", str(error))
    logger.error("request failed: request=%s", what, exc_info=error)
    return problem(500, "internal", "the collector failed to answer; its log says why")


@web.middleware
async def problems_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns what handlers raise into problems."""
    try:
        return await handler(request)
    except Refused as refused:
        return _throttled(request, refused.answer)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        word = _WORDS.get(error.status, "refused")
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return problem(error.status, word, f"{error.reason}: {request.method} {request.path}", headers=allow)
    except Exception as error:  # noqa: BLE001 - one request must not end the others; it is logged
        return failed(error, f"{request.method} {request.path}")


def _throttled(request: web.Request, answer: web.Response) -> web.Response:
    """The answer, or "too many" to an address that has failed to authenticate too often. Good credentials from the same
    address are served all the while: an office has one address, and one bad machine must not lock out the others."""
    failures = request.app.get(FAILURES)
    if answer.status != 401 or failures is None:
        return answer
    wait_seconds = failures.take(request.remote)
    return too_many(wait_seconds) if wait_seconds else answer
