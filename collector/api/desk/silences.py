"""`/silences`: what is known, and shall open no ticket for a while."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, Field

from collector.alerting.matching import MAX_MATCHER_CHARS, MAX_MATCHERS, parse_matchers, write_matcher
from collector.api.desk.alerts import MAX_NUMBER
from collector.api.desk.callers import Caller, missing
from collector.api.desk.operations import AnyOperation, Call, NoParameters, Operation, Patch, Request
from collector.api.desk.paging import Page, PagingByNumber, cut
from collector.api.desk.shapes import When
from collector.incidents import silences as store
from collector.incidents.silences import SilenceState
from collector.series.read import Matcher, MatchOp

FAR = datetime(2100, 1, 1, tzinfo=UTC)  # stands for nothing


class Silence(BaseModel):
    id: int
    matchers: list[str]
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    author: str
    comment: str
    created_at: AwareDatetime
    state: SilenceState


class SilencePage(Page[Silence]):
    pass


class NewSilence(Request):
    matchers: list[Annotated[str, Field(min_length=1, max_length=MAX_MATCHER_CHARS)]] = Field(
        min_length=1,
        max_length=MAX_MATCHERS,
        description='Such as `customer="acme"` or `alertname=~"Disk.*"`; all must match. Those of a token\'s customer '
        "and site are added.",
        examples=[['alertname=~"Disk.*"']],
    )
    ends_at: AwareDatetime
    starts_at: AwareDatetime | None = Field(default=None, description="Now, if it is left out.")
    comment: str = Field(min_length=1, max_length=store.MAX_COMMENT_CHARS, description="Why: others will wonder.")


class SilencePatch(Patch):
    ends_at: When = FAR
    comment: str = Field(default="", min_length=1, max_length=store.MAX_COMMENT_CHARS)


class SilenceFilter(PagingByNumber):
    state: SilenceState | None = Field(
        default=None, description="Only those in this state; without it those in force and to come."
    )


class SilenceId(Request):
    id: int = Field(ge=1, le=MAX_NUMBER)


async def list_silences(call: Call[SilenceFilter, None]) -> SilencePage:
    asked = call.params
    found = await store.silences_before(
        call.connection,
        asked.after,
        asked.limit + 1,
        now=call.now,
        state=asked.state,
        bearing=_own_matchers(call.caller),
    )
    page, cursor = cut(found, asked.limit, lambda one: one.id)
    return SilencePage(items=[_told(one, call) for one in page], next_cursor=cursor)


async def get_silence(call: Call[SilenceId, None]) -> Silence:
    return _told(await _found(call), call)


async def create_silence(call: Call[NoParameters, NewSilence]) -> Silence:
    asked = call.body
    created = await store.add_silence(
        call.connection,
        matchers=[*asked.matchers, *_bounds(call.caller, parse_matchers(asked.matchers))],
        starts_at=asked.starts_at or call.now,
        ends_at=asked.ends_at,
        author=call.caller.name,
        comment=asked.comment,
        now=call.now,
    )
    return _told(await store.get_silence(call.connection, created), call)


async def change_silence(call: Call[SilenceId, SilencePatch]) -> Silence:
    given, actor = call.body.given(), call.caller.name
    changed = await store.change_silence(call.connection, call.params.id, **given, actor=actor, now=call.now)
    return _told(changed, call)


async def expire_silence(call: Call[SilenceId, None]) -> Silence:
    """One that has ended stays as it is: who asks twice gets the same answer."""
    silence = await _found(call)
    if silence.ends_at > call.now:
        await store.expire_silence(call.connection, silence.id, actor=call.caller.name, now=call.now)
        silence = await _found(call)
    return _told(silence, call)


async def _found(call: Call[SilenceId, None]) -> store.Silence:
    """Raises Refusal (404) unless there is one that the caller sees."""
    try:
        silence = await store.get_silence(call.connection, call.params.id)
    except store.SilenceError:
        raise missing(f"silence {call.params.id}") from None
    if not _is_seen(call.caller, silence):
        raise missing(f"silence {call.params.id}")
    return silence


def _is_seen(caller: Caller, silence: store.Silence) -> bool:
    """A token of one customer sees the silences that are bound to it, as those that it makes are."""
    return not _bounds(caller, silence.matchers)


def _bounds(caller: Caller, matchers: Sequence[Matcher]) -> list[str]:
    """What is still to be added, so that they match nothing beyond the caller's bounds."""
    return [write_matcher(one) for one in _own_matchers(caller) if one not in matchers]


def _own_matchers(caller: Caller) -> list[Matcher]:
    wanted = {"customer": caller.customer, "site": caller.site}
    return [Matcher(label, MatchOp.EQUAL, value) for label, value in wanted.items() if value is not None]


def _told(silence: store.Silence, call: Call[Any, Any]) -> Silence:
    return Silence(
        id=silence.id,
        matchers=[write_matcher(one) for one in silence.matchers],
        starts_at=silence.starts_at,
        ends_at=silence.ends_at,
        author=silence.author,
        comment=silence.comment,
        created_at=silence.created_at,
        state=silence.state(call.now),
    )


def operations() -> list[AnyOperation]:
    moving = frozenset({"state"})
    one = Operation("GET", "/silences/{id}", "One silence", SilenceId, None, Silence, get_silence, moving=moving)
    return [
        Operation("GET", "/silences", "Silences, newest first", SilenceFilter, None, SilencePage, list_silences),
        one,
        Operation(
            "POST", "/silences", "Add a silence", NoParameters, NewSilence, Silence, create_silence, creates=True
        ),
        Operation(
            "PATCH",
            "/silences/{id}",
            "Change a silence's end or comment",
            SilenceId,
            SilencePatch,
            Silence,
            change_silence,
            changes=one,
        ),
        Operation(
            "DELETE", "/silences/{id}", "End a silence now", SilenceId, None, Silence, expire_silence, changes=one
        ),
    ]
