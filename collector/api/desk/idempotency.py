"""Idempotency-Key: who lost the answer to a creation asks again, and nothing is created twice."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.api.desk.refusals import Refusal
from collector.db.inserts import insert_if_absent
from collector.db.tables import idempotency_keys as keys

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_CHARS = 200
KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Asked:
    """A creation: by which token, under which key, and what."""

    token: int
    key: str
    operation: str
    body: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.operation.encode() + b"\n" + self.body).hexdigest()


def key_of(headers: Mapping[str, str]) -> str | None:
    """None if there is none. Raises Refusal (400)."""
    key = headers.get(HEADER)
    if key is not None and not (1 <= len(key) <= MAX_CHARS and key.isascii() and key.isprintable()):
        raise Refusal(400, "malformed", f"{HEADER} has 1 to {MAX_CHARS} printable ASCII characters, such as a UUID")
    return key


async def begin(connection: AsyncConnection, asked: Asked, now: datetime) -> str | None:
    """The answer to the same creation of earlier; None if this is the first.

    In the creation's own transaction, so that there is never one without the other; a repeat that comes meanwhile
    waits for it. Raises Refusal (422) if the key was used for something else.
    """
    await connection.execute(delete(keys).where(keys.c.created_at < now - KEPT))
    row = {"token": asked.token, "key": asked.key, "digest": asked.digest, "created_at": now}
    if await insert_if_absent(connection, keys, row):
        return None
    found = (await connection.execute(select(keys.c.digest, keys.c.answer).where(_is(asked)))).one()
    if found.digest != asked.digest or found.answer is None:
        raise Refusal(422, "key_reused", f"this {HEADER} was used for another request; make a new one for each")
    answer: str = found.answer
    return answer


async def finish(connection: AsyncConnection, asked: Asked, answer: str) -> None:
    await connection.execute(update(keys).where(_is(asked)).values(answer=answer))


def _is(asked: Asked) -> ColumnElement[bool]:
    return and_(keys.c.token == asked.token, keys.c.key == asked.key)
