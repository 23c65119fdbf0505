"""ETags: a change names the state that it was meant for, so that two people never overwrite each other unawares."""

import hashlib
import re
from collections.abc import Mapping

from multidict import CIMultiDictProxy
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.api.desk.refusals import Refusal

IF_MATCH = "If-Match"
IF_NONE_MATCH = "If-None-Match"
MAX_CHARS = 1_000
TAGS_PATTERN = r'^(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*$'

_TAGS = re.compile(TAGS_PATTERN)
_TAG = re.compile(r'(?:W/)?"[!#-~]*"')


def etag_of(answer: BaseModel, moving: frozenset[str] = frozenset()) -> str:
    """Made from the answer itself. The fields `moving`, which time or machines change and people do not, have a part of
    their own after a dot: a cache looks at both, a change only at the first."""
    still = _digest(answer.model_dump_json(exclude=set(moving)).encode())
    return f'"{still}.{_digest(answer.model_dump_json(include=set(moving)).encode())}"' if moving else f'"{still}"'


def etag_of_bytes(body: bytes) -> str:
    """Of an answer that is kept as it is sent."""
    return f'"{_digest(body)}"'


def is_known(etag: str, headers: Mapping[str, str]) -> bool:
    """Whether who asks has this answer already (If-None-Match)."""
    given = headers.get(IF_NONE_MATCH, "").strip()
    return given == "*" or etag in (one.removeprefix("W/") for one in _TAG.findall(given[:MAX_CHARS]))


def meant(headers: CIMultiDictProxy[str]) -> str | None:
    """The If-Match of a request. `*` names no state, and counts as none."""
    given = ", ".join(headers.getall(IF_MATCH, []))
    return None if IF_MATCH not in headers or given.strip() == "*" else given


def require_match(etag: str, given: str | None, path: str) -> None:
    """Raises Refusal: 428 without an If-Match, 400 if it is none, 412 if the thing at `path` is no longer like that."""
    if given is None:
        raise Refusal(
            428,
            "precondition_required",
            f"a change says what it was meant for: GET {path} and send its ETag along as {IF_MATCH}",
        )
    if len(given) > MAX_CHARS or not _TAGS.fullmatch(given.strip()):
        raise Refusal(400, "malformed", f'{IF_MATCH} has entity tags in double quotes, such as "5f2c…", as a GET gives')
    if _still(etag) not in map(_still, _TAG.findall(given)):
        raise Refusal(
            412,
            "precondition_failed",
            f"it was changed since: GET {path} again, look at what is there now, and decide anew",
        )


async def hold(connection: AsyncConnection, path: str) -> None:
    """Until the end of the transaction nobody else changes the thing at `path` through the API. On SQLite there is one
    writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(path, 0))))


def _still(etag: str) -> str:
    """What a change looks at. A weak tag promises too little to change anything by, and matches nothing."""
    return etag if etag.startswith("W/") else etag.strip('"').partition(".")[0]


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
