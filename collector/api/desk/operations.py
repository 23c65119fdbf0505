"""What an operation of the API is: a method and a path, models in and out, and what it does."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.api.desk.callers import Caller

MAX_BODY_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that is kept as it came."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Download:
    """An answer that is a file."""

    name: str
    content: bytes


P = TypeVar("P", bound=BaseModel)
B = TypeVar("B", bound=BaseModel | Upload | None)
A = TypeVar("A", bound=BaseModel | Download)

_PARAMETER = re.compile(r"\{(\w+)\}")


class Request(BaseModel):
    """A body that people write: a typo must not change what is meant."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoParameters(Request):
    pass


@dataclass(frozen=True, slots=True)
class Call(Generic[P, B]):
    """One request, validated. `connection` may write if the operation does, and is committed if it succeeds."""

    caller: Caller
    connection: AsyncConnection
    now: datetime
    params: P  # of the path and the query
    body: B


@dataclass(frozen=True, slots=True)
class Operation(Generic[P, B, A]):
    """`path` is below the API's root, such as `/silences/{id}`; the fields of `params` that it does not name are the
    query's. What `creates` answers 201 and takes an Idempotency-Key. `body` is a model of JSON, or Upload for a file as
    it is; `answer` likewise, or Download."""

    method: str
    path: str
    summary: str
    params: type[P]
    body: type[B] | None
    answer: type[A]
    handle: Callable[[Call[P, B]], Awaitable[A]]
    creates: bool = False
    max_body_bytes: int = MAX_BODY_BYTES

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def status(self) -> int:
        return 201 if self.creates else 200

    @property
    def name(self) -> str:
        return self.handle.__name__

    @property
    def in_path(self) -> frozenset[str]:
        return frozenset(_PARAMETER.findall(self.path))

    def is_at(self, path: str) -> bool:
        """Whether a path below the API's root is this operation's, whatever the method."""
        pattern = "[^/]+".join(map(re.escape, _PARAMETER.sub("\0", self.path).split("\0")))
        return re.fullmatch(pattern, path) is not None


AnyOperation = Operation[Any, Any, Any]
