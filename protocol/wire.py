"""Protocol version 1 between agent and collector: names, limits and shapes.

Standard library only, because `quarkpulse-agent run` imports this and little else. `protocol.models` holds the same
shapes as pydantic models; a test holds the two together. Times on the wire are Unix milliseconds.
"""

import hashlib
import json
from collections.abc import Sequence
from enum import StrEnum
from typing import NotRequired, TypedDict

PROTOCOL_VERSION = 1

ENROLL_PATH = "/v1/enroll"
PUSH_PATH = "/v1/push"
CONFIG_PATH = "/v1/config"

# Limits. Both sides know them: the agent keeps within, the collector refuses what is beyond.
MAX_BODY_BYTES = 1 << 20  # as sent, gzip included
MAX_DECODED_BYTES = 8 << 20  # after gunzip; a longer one is a bomb (413)
MAX_LAYOUTS_PER_PUSH = 300  # one for each printer that an agent reads, and its own
MAX_FRAMES_PER_PUSH = 10_000
MAX_EVENTS_PER_PUSH = 1_000
MAX_SERIES_PER_LAYOUT = 2_000
MAX_LABELS_PER_SERIES = 32
MAX_NAME_CHARS = 200
MAX_LABEL_VALUE_CHARS = 512
MAX_INVENTORY_BYTES = 256 << 10
MAX_PRINTERS_PER_AGENT = 250
MAX_CUSTOM_CHECKS = 50
MAX_SERVICES = 100
MAX_PROBES_OFF = 100
MAX_COMMAND_WORDS = 50
MAX_COMMAND_WORD_CHARS = 1000
MAX_INTERVAL_SECONDS = 86_400.0  # between two readings of anything
MIN_CHECK_INTERVAL_SECONDS = 30.0
DEFAULT_CHECK_TIMEOUT_SECONDS = 30.0
MAX_CHECK_TIMEOUT_SECONDS = 300.0
MIN_PRINTER_INTERVAL_SECONDS = 30.0
DEFAULT_PRINTER_INTERVAL_SECONDS = 300.0
DEFAULT_IPP_PATH = "/ipp/print"
MAX_AGE_SECONDS = 7 * 24 * 3600.0  # older frames are refused: a week is the agent's whole spool
MAX_AHEAD_SECONDS = 60.0  # frames further ahead enter the head when their time comes

# Labels that the collector sets from the credential; a sender's own is kept as `exported_<name>`.
RESERVED_LABELS = ("customer", "site", "device_id", "kind")
EXPORTED_PREFIX = "exported_"
# Metric names that only the collector makes: series of a sender so named are refused.
RESERVED_METRICS = ("ALERTS", "ALERTS_FOR_STATE")
RESERVED_METRIC_PREFIX = "quarkpulse_"

METRIC_NAME_PATTERN = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"
LABEL_NAME_PATTERN = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
CHECK_NAME_PATTERN = r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$"
SERVICE_NAME_PATTERN = r"^[^\s*?\[-][^\s*?\[]{0,99}$"  # no option, no wildcard

DEFAULT_PUSH_INTERVAL_SECONDS = 60.0
MAX_FRAME_INTERVAL_SECONDS = 120.0  # every device has a frame at least so often, or it falls out of the lookback
STALE_AFTER_INTERVALS = 3  # a probe's reading older than so many of its intervals is sent as null


class Kind(StrEnum):
    """What a device is."""

    DESKTOP = "desktop"
    LAPTOP = "laptop"
    SERVER = "server"
    PRINTER = "printer"
    OTHER = "other"


class EventType(StrEnum):
    """Events whose type the collector acts on; others are kept as they come."""

    GOODBYE = "goodbye"  # {reason: "stop" | "shutdown" | "sleep"}
    PROBE_UNAVAILABLE = "probe_unavailable"  # {probe, reason}: said once
    PRINTER_SEEN = "printer_seen"  # {device_id, serial, model, …, supplies, refusal}: what it is, when that changes
    PRINTER_ALERT = "printer_alert"  # {device_id, group, group_index, code, description}: it happened, nothing stands
    PRINTER_REFUSED = "printer_refused"  # {device_id, reason}: it will not be read until somebody does something
    PRINTER_FOUND = "printer_found"  # {address, serial?, model?, snmp: bool, ipp: bool}: proposed, not enrolled
    AGENT_STARTED = "agent_started"  # {version, last_run: LastRun}
    RESUMED = "resumed"  # {slept_seconds}: the machine woke up
    POWER = "power"  # {source: PowerSource}: at the start, and when it changes; only of machines with a battery
    CLOCK_STEP = "clock_step"  # {seconds}: the agent's clock was moved at once, not slewed
    CHECK_CHANGED = "check_changed"  # {check, status, before, text}: a custom check's status is another
    SPOOL_DAMAGED = "spool_damaged"  # {reason}: said once a run
    PROBE_SHED = "probe_shed"  # {probe, is_shed, reason}: the agent weighed too much, or does no longer
    CONFIG_REFUSED = "config_refused"  # {etag, reason}: the configuration cannot be used, the one before holds


class LastRun(StrEnum):
    """How the agent's run before this one ended, as it finds out at its start."""

    FIRST = "first"  # there was none
    CLEAN = "clean"
    CRASHED = "crashed"  # without a goodbye, in the same boot: the agent failed or was killed
    CUT = "cut"  # without a goodbye, in an earlier boot: the machine lost power or failed


class PowerSource(StrEnum):
    BATTERY = "battery"
    MAINS = "mains"


class SnmpVersion(StrEnum):
    V1 = "1"
    V2C = "2c"
    V3 = "3"


class SnmpAuth(StrEnum):
    """Of v3."""

    MD5 = "md5"
    SHA1 = "sha1"
    SHA224 = "sha224"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


class SnmpPrivacy(StrEnum):
    """Of v3."""

    DES = "des"
    AES128 = "aes128"
    AES192 = "aes192"
    AES256 = "aes256"


class Series(TypedDict):
    name: str
    labels: dict[str, str]


class Layout(TypedDict):
    """Names a device's series once; frames then carry only values in this order."""

    id: str  # `layout_id(series)`
    series: list[Series]


class Frame(TypedDict):
    device: NotRequired[str]  # a printer that this agent reads; absent: the agent's own device
    layout: str
    t: int
    v: list[float | None]  # null: not read


class Event(TypedDict):
    """More keys may stand beside these; they are kept."""

    id: str  # UUID: the same event may arrive twice
    t: int
    type: str


class Push(TypedDict):
    sent: int
    boot: str  # the system's boot id
    spool: str  # random id made with the spool
    seq: int  # grows with each push of this spool
    layouts: list[Layout]
    frames: list[Frame]
    events: list[Event]
    inventory: NotRequired[dict[str, object]]


class Refusal(TypedDict):
    frame: int  # index in the push's frames
    reason: str


class PushAnswer(TypedDict):
    acked: int | None  # the push's seq, once its frames are on disk; null with need_layouts
    now: int
    need_layouts: list[str]
    refused: list[Refusal]
    config_etag: str


class EnrollRequest(TypedDict):
    token: str
    hostname: str
    kind: str
    machine_id: str
    instance: str  # hash of the state folder's path: several agents may live on one machine
    serial: NotRequired[str | None]
    os: str
    arch: str
    agent_version: str


class SnmpConfig(TypedDict):
    """How a printer is asked by SNMP. v1 and v2c have a community, v3 a user with or without passwords."""

    version: str  # SnmpVersion
    port: int
    community: NotRequired[str | None]
    user: NotRequired[str | None]
    auth: NotRequired[str | None]  # SnmpAuth
    auth_password: NotRequired[str | None]
    privacy: NotRequired[str | None]  # SnmpPrivacy
    privacy_password: NotRequired[str | None]


class IppConfig(TypedDict):
    port: int
    path: str  # such as DEFAULT_IPP_PATH
    tls: bool


class PrinterConfig(TypedDict):
    """A printer that this agent reads. Absent: not asked that way."""

    device_id: str
    host: str
    snmp: NotRequired[SnmpConfig | None]
    ipp: NotRequired[IppConfig | None]
    interval_seconds: NotRequired[float]  # between two readings of its state; its tables are read more seldom


class CustomCheck(TypedDict):
    """A Nagios plugin to run. The agent runs it only where its own `agent.toml` allows this program."""

    name: str
    command: list[str]  # the program, by its absolute path, and its arguments
    interval_seconds: float
    timeout_seconds: float


class PrivacyConfig(TypedDict):
    """What the customer allowed the inventory to hold; without it, only counts."""

    user_names: bool
    software: bool


class ReservedAgentConfig(TypedDict):
    """Reserved: the collector never updates an agent by itself, it only tells which version the provider wants."""

    version: str
    url: str
    sha256: str
    signature: str


class Config(TypedDict):
    push_interval_seconds: float
    probe_intervals_seconds: dict[str, float]  # by probe name; a probe not named keeps its own
    probes_off: NotRequired[list[str]]  # not read, beside those that agent.toml turns off
    services: NotRequired[list[str]]  # to be watched, beside those of agent.toml
    custom_checks: list[CustomCheck]
    presence_policy: str
    printers: list[PrinterConfig]
    privacy: NotRequired[PrivacyConfig]
    agent: ReservedAgentConfig | None


class EnrollAnswer(TypedDict):
    device_id: str
    secret: str
    now: int
    config: Config


class ProblemDetail(TypedDict):
    loc: str  # the field, such as `frames.0.v.3`
    msg: str


class Problem(TypedDict):
    """The body of every refusal (4xx, 5xx)."""

    error: str  # a word for programs, such as `unauthorized`
    message: str  # a sentence for people: what happened and what to do
    details: list[ProblemDetail]  # of a 422: the fields that are wrong, the first 20 of them; else empty


def canonical_series(series: Sequence[Series]) -> bytes:
    """The bytes that a layout's id is made of: JSON without blanks, each series as [name, [[label, value], ...]]
    with its labels sorted, the series in frame order, non-ASCII characters as they are, in UTF-8."""
    listed = [[one["name"], sorted(one["labels"].items())] for one in series]
    return json.dumps(listed, separators=(",", ":"), ensure_ascii=False).encode()


def layout_id(series: Sequence[Series]) -> str:
    """16 hex digits of the SHA-256 of the canonical list."""
    return hashlib.sha256(canonical_series(series)).hexdigest()[:16]


def is_reserved_metric(name: str) -> bool:
    """Whether only the collector may make series of this name."""
    return name in RESERVED_METRICS or name.startswith(RESERVED_METRIC_PREFIX)
