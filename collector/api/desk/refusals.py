"""Refusals as problem details (RFC 9457)."""

import logging
import math
from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from collector.api.problems import MAX_DETAILS, RETRY_AFTER_SECONDS
from collector.db.errors import DatabaseError
from collector.fleet.errors import AlreadyExistsError, NotFoundError
from protocol.errors import QuarkpulseError, TransientError

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"


class WrongField(BaseModel):
    """What is wrong with one field of a request."""

    model_config = ConfigDict(frozen=True)

    loc: str = Field(description="The field, such as `matchers.0`; empty for the body as a whole.")
    msg: str


class Problem(BaseModel):
    """Why a request was refused (RFC 9457)."""

    type: str = Field(default="about:blank", description="Always about:blank: the status and `error` tell.")
    title: str = Field(description="The status in words.")
    status: int
    error: str = Field(description="A word for programs, such as not_found.")
    detail: str = Field(description="A sentence for people: what happened and what to do.")
    details: list[WrongField] = Field(
        default_factory=list, description="The fields that are wrong, the first 20 of them."
    )


class Refusal(Exception):  # noqa: N818 - it carries an answer
    """Ends a request; `error` is a word for programs, the message a sentence for people."""

    def __init__(
        self,
        status: int,
        error: str,
        message: str,
        *,
        details: Sequence[WrongField] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.details = list(details)
        self.headers = headers

    def answer(self) -> web.Response:
        problem = Problem(
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            error=self.error,
            detail=str(self),
            details=self.details,
        )
        body = problem.model_dump_json().encode()
        return web.Response(status=self.status, body=body, content_type=CONTENT_TYPE, headers=self.headers)


def wrong_fields(error: ValidationError) -> Refusal:
    """400 for a body that is no JSON, else 422 naming each field."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        return Refusal(400, "malformed", f"the body is not JSON: {found[0]['msg']}")
    details = [WrongField(loc=".".join(map(str, one["loc"]))[:200], msg=_told(one)[:500]) for one in found]
    first = details[0]
    return Refusal(422, "invalid", f"{first.loc or 'body'}: {first.msg}", details=details[:MAX_DETAILS])


def _told(one: ErrorDetails) -> str:
    return "there is no such field" if one["type"] == "extra_forbidden" else one["msg"].removeprefix("Value error, ")


def refusal_of(error: Exception, what: str) -> Refusal:
    """What an error is to the caller. What nobody foresaw is logged and says no more than 500, and so is a database
    that cannot be used: it is not the caller who can mend that."""
    match error:
        case Refusal():
            return error
        case TransientError():
            return Refusal(503, "busy", str(error), headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
        case NotFoundError():
            return Refusal(404, "not_found", str(error))
        case AlreadyExistsError():
            return Refusal(409, "conflict", str(error))
        case QuarkpulseError() if not isinstance(error, DatabaseError):
            return Refusal(422, "refused", str(error))
        case _:
            logger.error("request failed: request=%s", what, exc_info=error)
            return Refusal(500, "internal", "the collector failed to answer; its log says why")


def too_many(wait_seconds: float) -> Refusal:
    headers = {"Retry-After": str(math.ceil(wait_seconds))}
    return Refusal(429, "too_many", "too many requests; come back when Retry-After has passed", headers=headers)
