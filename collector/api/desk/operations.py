"""What an operation of the API is: a method and a path, models in and out, and what it does."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.api.desk.callers import Caller
from collector.api.desk.paging import Paging
from collector.fleet.roles import Role

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


def _only_given(schema: dict[str, Any]) -> None:
    """What is left out stays as it is, so no field has a default."""
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


class Patch(Request):
    """The body of a PATCH: only the fields that are given change. Each field has a default, which stands for nothing;
    null may be given where the field's type has None."""

    model_config = ConfigDict(json_schema_extra=_only_given)

    def given(self) -> dict[str, Any]:
        """What shall change, by field."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


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
    it is; `answer` likewise, or Download.

    `changes` is the GET of the thing that it changes: it takes an If-Match with the ETag of that answer. Its path has
    no parameters beyond those of this one. `works_on` is the same of what it takes a step with, such as to close a
    ticket: an If-Match that is sent must hold, and none is asked for. `moving`, of a GET: fields of the answer that
    time or machines change, which make no difference to who changes the thing.

    `told_once`: fields of the answer, such as a secret, that are kept nowhere: to a repeat they are null.

    `role` is the least that may: a viewer to read and a technician to write, unless it says otherwise. A contact may
    what says so, and has a token of its customer alone."""

    method: str
    path: str
    summary: str
    params: type[P]
    body: type[B] | None
    answer: type[A]
    handle: Callable[[Call[P, B]], Awaitable[A]]
    creates: bool = False
    max_body_bytes: int = MAX_BODY_BYTES
    role: Role | None = None
    changes: "AnyOperation | None" = None
    works_on: "AnyOperation | None" = None
    moving: frozenset[str] = frozenset()
    description: str = ""
    told_once: frozenset[str] = frozenset()

    @property
    def least_role(self) -> Role:
        return self.role or (Role.TECHNICIAN if self.writes else Role.VIEWER)

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def is_list(self) -> bool:
        """Whether people look for something in it: in a list that goes on page by page."""
        return issubclass(self.params, Paging)

    @property
    def status(self) -> int:
        return 201 if self.creates else 200

    @property
    def name(self) -> str:
        return self.handle.__name__

    @property
    def thing(self) -> "AnyOperation | None":
        """The GET of what an If-Match is about; None: it takes none."""
        return self.changes or self.works_on

    @property
    def shows_what_it_changes(self) -> bool:
        return self.thing is not None and self.answer is self.thing.answer

    @property
    def in_path(self) -> frozenset[str]:
        return frozenset(_PARAMETER.findall(self.path))

    def is_at(self, path: str) -> bool:
        """Whether a path below the API's root is this operation's, whatever the method."""
        pattern = "[^/]+".join(map(re.escape, _PARAMETER.sub("\0", self.path).split("\0")))
        return re.fullmatch(pattern, path) is not None

    def at(self, params: BaseModel) -> str:
        """The path below the API's root, with its parameters in place."""
        return _PARAMETER.sub(lambda found: str(getattr(params, found[1])), self.path)

    def params_of(self, params: BaseModel) -> P:
        """Its own, with those of its path taken from another operation's."""
        return self.params(**{name: getattr(params, name) for name in self.in_path})


AnyOperation = Operation[Any, Any, Any]
