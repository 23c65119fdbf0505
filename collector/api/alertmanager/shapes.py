"""What Alertmanager's API v2 takes and gives, and its refusals.

Source of the shapes: prometheus/alertmanager `api/v2/openapi.yaml`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import orjson
from aiohttp import web
from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter

from collector.alerting.matching import MAX_MATCHER_CHARS, MAX_MATCHERS, parse_matcher, write_matcher
from collector.series.read import Matcher, MatchOp
from protocol.wire import MAX_NAME_CHARS

MAX_BODY_BYTES = 16 << 20  # ten thousand alerts with their annotations, as vmalert sends those of a rule at once
MAX_ALERTS_AT_ONCE = 20_000
MAX_LABELS = 64
MAX_VALUE_CHARS = 1_024
MAX_ANNOTATIONS = 64
MAX_ANNOTATION_CHARS = 8_192
MAX_URL_CHARS = 4_096
RECEIVERS = [{"name": "quarkpulse"}]

LabelName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS)]
LabelValue = Annotated[str, Field(max_length=MAX_VALUE_CHARS)]


class PostedAlert(BaseModel):
    labels: dict[LabelName, LabelValue] = Field(min_length=1, max_length=MAX_LABELS)
    annotations: dict[LabelName, Annotated[str, Field(max_length=MAX_ANNOTATION_CHARS)]] = Field(
        default_factory=dict, max_length=MAX_ANNOTATIONS
    )
    startsAt: AwareDatetime | None = None  # noqa: N815 - Alertmanager's names
    endsAt: AwareDatetime | None = None  # noqa: N815
    generatorURL: str = Field(default="", max_length=MAX_URL_CHARS)  # noqa: N815


class PostedMatcher(BaseModel):
    name: LabelName
    value: str = Field(max_length=MAX_MATCHER_CHARS)
    isRegex: bool  # noqa: N815
    isEqual: bool = True  # noqa: N815

    def written(self) -> str:
        """As people write it. Raises MatcherError."""
        return write_matcher(parse_matcher(write_matcher(Matcher(self.name, self._op, self.value))))

    @property
    def _op(self) -> MatchOp:
        if self.isRegex:
            return MatchOp.REGEX if self.isEqual else MatchOp.NOT_REGEX
        return MatchOp.EQUAL if self.isEqual else MatchOp.NOT_EQUAL


class PostedSilence(BaseModel):
    id: str = Field(default="", max_length=64)  # of the silence that this one takes the place of
    matchers: list[PostedMatcher] = Field(min_length=1, max_length=MAX_MATCHERS)
    startsAt: AwareDatetime  # noqa: N815
    endsAt: AwareDatetime  # noqa: N815
    createdBy: str = Field(max_length=200)  # noqa: N815
    comment: str = Field(max_length=10_000)


ALERTS = TypeAdapter(list[object])  # one that is wrong spoils none of the others
ALERT = TypeAdapter(PostedAlert)
SILENCE = TypeAdapter(PostedSilence)


def told_matcher(matcher: Matcher) -> dict[str, object]:
    return {
        "name": matcher.label,
        "value": matcher.value,
        "isRegex": matcher.op in (MatchOp.REGEX, MatchOp.NOT_REGEX),
        "isEqual": matcher.op in (MatchOp.EQUAL, MatchOp.REGEX),
    }


def set_time(at: datetime | None) -> datetime | None:
    """UTC; None also for Go's zero time, by which a ruler says nothing."""
    if at is None or at.year <= 1:
        return None
    try:
        return at.astimezone(UTC)
    except OverflowError:
        return None


def time_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def silence_id(number: int) -> str:
    """Alertmanager's ids are UUIDs: ours is in its last digits."""
    return str(UUID(int=number))


def silence_number(text: str) -> int | None:
    """The number of a silence, given as a UUID or as it is; None for what is neither."""
    try:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else UUID(text).int
    except ValueError:
        return None
    return number if 0 < number < 1 << 63 else None


def answer(data: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """JSON; a refusal is a text, as Alertmanager's are."""
    return web.Response(status=status, body=orjson.dumps(data), content_type="application/json", headers=headers)
