"""Protocol version 1 as pydantic models, for the collector, tests and short-lived commands.

The shapes are those of `protocol.wire`. Unknown fields are ignored, so that a new agent can talk to an old collector;
wrong types are refused. In JSON mode the models are strict: a number in quotes is not a number.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from protocol import wire

Timestamp = Annotated[int, Field(ge=0, lt=1 << 53, description="Unix milliseconds")]
Identifier = Annotated[str, Field(min_length=1, max_length=128)]
ShortText = Annotated[str, Field(max_length=256)]
MetricName = Annotated[str, Field(pattern=wire.METRIC_NAME_PATTERN, max_length=wire.MAX_NAME_CHARS)]
LabelName = Annotated[str, Field(pattern=wire.LABEL_NAME_PATTERN, max_length=wire.MAX_NAME_CHARS)]
LabelValue = Annotated[str, Field(max_length=wire.MAX_LABEL_VALUE_CHARS)]


class WireModel(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Series(WireModel):
    name: MetricName
    labels: dict[LabelName, LabelValue] = Field(default_factory=dict, max_length=wire.MAX_LABELS_PER_SERIES)


class Layout(WireModel):
    id: str = Field(min_length=1, max_length=64)
    series: list[Series] = Field(max_length=wire.MAX_SERIES_PER_LAYOUT)


class Frame(WireModel):
    device: str | None = Field(default=None, max_length=128)
    layout: str = Field(min_length=1, max_length=64)
    t: Timestamp
    v: list[FiniteFloat | None] = Field(max_length=wire.MAX_SERIES_PER_LAYOUT)


class Event(WireModel):
    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    id: str = Field(min_length=1, max_length=64)
    t: Timestamp
    type: str = Field(min_length=1, max_length=64)


class Push(WireModel):
    sent: Timestamp
    boot: Identifier
    spool: Identifier
    seq: int = Field(ge=0, lt=1 << 53)
    layouts: list[Layout] = Field(default_factory=list, max_length=wire.MAX_LAYOUTS_PER_PUSH)
    frames: list[Frame] = Field(default_factory=list, max_length=wire.MAX_FRAMES_PER_PUSH)
    events: list[Event] = Field(default_factory=list, max_length=wire.MAX_EVENTS_PER_PUSH)
    inventory: dict[str, object] | None = None


class Refusal(WireModel):
    frame: int
    reason: str


class PushAnswer(WireModel):
    acked: int | None
    now: Timestamp
    need_layouts: list[str] = Field(default_factory=list)
    refused: list[Refusal] = Field(default_factory=list)
    config_etag: str


class EnrollRequest(WireModel):
    token: str = Field(min_length=1, max_length=256)
    hostname: Identifier
    kind: Annotated[wire.Kind, Field(strict=False)]
    machine_id: Identifier
    instance: Identifier
    serial: ShortText | None = None
    os: ShortText
    arch: ShortText
    agent_version: ShortText


class PrinterConfig(WireModel):
    device_id: Identifier
    host: Identifier


class ReservedAgentConfig(WireModel):
    version: str
    url: str
    sha256: str
    signature: str


class Config(WireModel):
    push_interval_seconds: float = Field(
        default=wire.DEFAULT_PUSH_INTERVAL_SECONDS, ge=1, le=wire.MAX_FRAME_INTERVAL_SECONDS
    )
    probe_intervals_seconds: dict[str, Annotated[float, Field(ge=1, le=86_400)]] = Field(default_factory=dict)
    custom_checks: list[dict[str, object]] = Field(default_factory=list)
    presence_policy: str = "always"
    printers: list[PrinterConfig] = Field(default_factory=list)
    agent: ReservedAgentConfig | None = None


class EnrollAnswer(WireModel):
    device_id: Identifier
    secret: str = Field(min_length=1, repr=False)
    now: Timestamp
    config: Config


class ProblemDetail(WireModel):
    loc: str
    msg: str


class Problem(WireModel):
    error: str
    message: str
    details: list[ProblemDetail]
