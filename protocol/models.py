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


ServiceName = Annotated[str, Field(pattern=wire.SERVICE_NAME_PATTERN)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Secret = Annotated[str, Field(min_length=1, max_length=256)]


class SnmpConfig(WireModel):
    version: Annotated[wire.SnmpVersion, Field(strict=False)] = wire.SnmpVersion.V2C
    port: Port = 161
    community: Secret | None = Field(default=None, repr=False)
    user: Identifier | None = None
    auth: Annotated[wire.SnmpAuth, Field(strict=False)] | None = None
    auth_password: Secret | None = Field(default=None, repr=False)
    privacy: Annotated[wire.SnmpPrivacy, Field(strict=False)] | None = None
    privacy_password: Secret | None = Field(default=None, repr=False)


class IppConfig(WireModel):
    port: Port = 631
    path: str = Field(default=wire.DEFAULT_IPP_PATH, pattern="^/", max_length=256)
    tls: bool = False


class PrinterConfig(WireModel):
    device_id: Identifier
    host: Identifier
    snmp: SnmpConfig | None = None
    ipp: IppConfig | None = None
    interval_seconds: float = Field(
        default=wire.DEFAULT_PRINTER_INTERVAL_SECONDS,
        ge=wire.MIN_PRINTER_INTERVAL_SECONDS,
        le=wire.MAX_INTERVAL_SECONDS,
    )


class CustomCheck(WireModel):
    name: str = Field(pattern=wire.CHECK_NAME_PATTERN)
    command: list[Annotated[str, Field(min_length=1, max_length=wire.MAX_COMMAND_WORD_CHARS)]] = Field(
        min_length=1, max_length=wire.MAX_COMMAND_WORDS
    )
    interval_seconds: float = Field(
        default=wire.DEFAULT_PUSH_INTERVAL_SECONDS, ge=wire.MIN_CHECK_INTERVAL_SECONDS, le=wire.MAX_INTERVAL_SECONDS
    )
    timeout_seconds: float = Field(default=wire.DEFAULT_CHECK_TIMEOUT_SECONDS, ge=1, le=wire.MAX_CHECK_TIMEOUT_SECONDS)


class PrivacyConfig(WireModel):
    user_names: bool = False
    software: bool = False


class ReservedAgentConfig(WireModel):
    version: str
    url: str
    sha256: str
    signature: str


class Config(WireModel):
    push_interval_seconds: float = Field(
        default=wire.DEFAULT_PUSH_INTERVAL_SECONDS, ge=1, le=wire.MAX_FRAME_INTERVAL_SECONDS
    )
    probe_intervals_seconds: dict[str, Annotated[float, Field(ge=1, le=wire.MAX_INTERVAL_SECONDS)]] = Field(
        default_factory=dict
    )
    probes_off: list[Identifier] = Field(default_factory=list, max_length=wire.MAX_PROBES_OFF)
    services: list[ServiceName] = Field(default_factory=list, max_length=wire.MAX_SERVICES)
    custom_checks: list[CustomCheck] = Field(default_factory=list, max_length=wire.MAX_CUSTOM_CHECKS)
    presence_policy: str = "always"
    printers: list[PrinterConfig] = Field(default_factory=list, max_length=wire.MAX_PRINTERS_PER_AGENT)
    privacy: PrivacyConfig = Field(default_factory=PrivacyConfig)
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
