"""A story: a YAML timeline of what devices and people do, and what is expected to come of it. See README.md."""

import fnmatch
import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from protocol.wire import Kind
from tests.scenarios.moments import Window, parse_duration, parse_moment

LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML has it
STORIES = Path(__file__).parent / "stories"

# What a technician calls a reading, and the series that an agent sends for it.
READINGS = {
    "disk": 'system_filesystem_utilization_ratio{system_device="/dev/sda1", system_filesystem_mountpoint="/", '
    'system_filesystem_state="used", system_filesystem_type="ext4"}',
    "data disk": 'system_filesystem_utilization_ratio{system_device="/dev/sdb1", system_filesystem_mountpoint="/data", '
    'system_filesystem_state="used", system_filesystem_type="ext4"}',
    "memory": 'system_memory_utilization_ratio{system_memory_state="used"}',
    "cpu idle": 'system_cpu_utilization_ratio{cpu_mode="idle"}',
    "temperature": 'hw_temperature_celsius{hw_id="cpu", hw_name="CPU"}',
}
_SERIES = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)="([^"]*)"\s*(?:,|$)')
_MANY = re.compile(r"\{(\d+)\.\.(\d+)\}")


class StoryError(Exception):
    """A story cannot be read or played; the message names file and line."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _checked_duration(text: str) -> str:
    parse_duration(text)
    return text


Duration = Annotated[str, AfterValidator(_checked_duration)]


class Swing(Strict):
    """One value after the other, each for `every`, from the first on again."""

    swings: list[float] = Field(min_length=2)
    every: Duration


class Ramp(Strict):
    """From here to there, then it stays there."""

    climbs: tuple[float, float]
    over: Duration


Reading = float | None | Swing | Ramp


class Act(StrEnum):
    START = "start"  # the machine is switched on
    SHUT_DOWN = "shut down"
    REBOOT = "reboot"  # shut down, and back after `takes`
    CLOSE_LID = "close the lid"  # it sleeps
    OPEN_LID = "open the lid"
    LOSE_POWER = "lose power"  # gone without a word
    STOP_AGENT = "stop the agent"
    LEAVE_NETWORK = "leave the network"  # it runs, and its agent spools
    JOIN_NETWORK = "join the network"


class Line(StrEnum):
    CUT = "cut"
    BACK = "back"


class CollectorAct(StrEnum):
    STOP = "stops"
    START = "starts"


class Device(Strict):
    customer: str
    site: str = "hq"
    kind: Kind = Kind.SERVER
    running: bool = True  # when the story begins
    read_by: str | None = None  # of a printer: the device whose agent reads it
    reads: dict[str, Reading] = {}


class TicketExpected(Strict):
    """A ticket; what is not named may be anything, but `reopened`, which is 0 if it is not named."""

    customer: str
    device: str | None = None
    site: str | None = None
    incident: str | None = None
    rule: str | None = None
    status: str
    priority: str | None = None
    opened: str | None = None
    began: str | None = None
    resolved: str | None = None
    reopened: int | None = 0  # null: any number
    follows: bool = False  # it names an earlier ticket for the same
    touched: bool | None = None
    assignee: str | None = None
    kind: str | None = None
    title: str | None = None  # a part of it


class ShadowExpected(Strict):
    customer: str
    device: str | None = None
    incident: str | None = None
    rule: str | None = None
    open: bool
    priority: str | None = None
    opened: str | None = None
    began: str | None = None
    resolved: str | None = None


class Expected(Strict):
    tickets: list[TicketExpected]
    shadows: list[ShadowExpected] = []


class RuleChange(Strict):
    """An edit of a rule file, and its reload. What is not named stays."""

    rule: str
    expr: str | None = None
    hold: Duration | None = Field(default=None, alias="for")
    keep_firing_for: Duration | None = None
    labels: dict[str, str] | None = None
    removed: bool = False


class Entry(Strict):
    """A line of the timeline: when, and one thing that happens."""

    at: str | list[str]
    note: str = ""  # for the reader
    devices: str | list[str] = []
    do: Act | None = None
    takes: Duration = "3m"  # of a reboot
    reads: dict[str, Reading] | None = None
    clock: Duration | None = None  # by how much a device's clock is off from here on, until a push is answered
    site: str | None = None  # customer/site
    line: Line | None = None
    collector: CollectorAct | None = None
    collector_clock: Duration | None = None  # by how much it is off from here on
    operator: str | list[str] = []  # commands, as they stand after `quarkpulse-collector`
    answers: str | list[str] = []  # parts of what the commands say
    edit: RuleChange | None = None
    expect: Expected | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        said = [
            bool(self.devices),
            self.site is not None,
            self.collector is not None,
            self.collector_clock is not None,
            bool(self.operator),
            self.edit is not None,
            self.expect is not None,
        ]
        if sum(said) != 1:
            raise ValueError("say one thing: devices, site, collector, collector_clock, operator, edit or expect")
        if bool(self.devices) != (self.do is not None or self.reads is not None or self.clock is not None):
            raise ValueError("devices need 'do', 'reads' or 'clock', and those need devices")
        if (self.site is None) != (self.line is None):
            raise ValueError("a site needs 'line: cut' or 'line: back'")
        if self.answers and not self.operator:
            raise ValueError("answers need an operator's command")
        return self


class Story(Strict):
    story: str  # what it is about, in one sentence
    start: str
    until: str
    time_zone: str = "Europe/Amsterdam"
    evaluate: Duration = "60s"  # the collector's evaluation interval
    push: Duration = "60s"
    customers: dict[str, str]  # name: plan
    devices: dict[str, Device]
    shipped_rules: list[str] = []  # names of alerts in the shipped packs; their thresholds come along
    rules: list[dict[str, Any]] = []  # rules as they stand in a Prometheus rule file
    thresholds: dict[str, Any] = {}  # as in thresholds.yaml, beside the shipped ones
    settings: dict[str, float] = {}  # as in config.toml
    service_models: dict[str, Any] = {}  # as in service_models.yaml, beside the shipped ones
    timeline: list[Entry]
    expect: Expected
    # Nobody knows what is to come of it: what operators cannot do is passed over, and instead of what is expected it is
    # looked after each evaluation whether what must always hold does.
    made_up: bool = False

    @model_validator(mode="before")
    @classmethod
    def _many(cls, given: Any) -> Any:
        """`ws-{01..40}` stands for forty devices."""
        if isinstance(given, dict) and isinstance(given.get("devices"), dict):
            return {**given, "devices": dict(_spread(given["devices"]))}
        return given

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        zone = ZoneInfo(self.time_zone)
        for moment in (self.start, self.until, *(moment for entry in self.timeline for moment in listed(entry.at))):
            parse_moment(moment, zone)
        for expected in (self.expect, *(entry.expect for entry in self.timeline if entry.expect)):
            wanted: list[TicketExpected | ShadowExpected] = [*expected.tickets, *expected.shadows]
            for one in wanted:
                for window in filter(None, (one.opened, one.began, one.resolved)):
                    Window.parse(window, zone, timedelta(0))
        for device in self.devices.values():
            if device.read_by is not None and device.read_by not in self.devices:
                raise ValueError(f"a printer is read by {device.read_by!r}, which is not among the devices")
            if device.customer not in self.customers:
                raise ValueError(f"a device is of customer {device.customer!r}, who is not among the customers")
        for entry in self.timeline:
            for pattern in listed(entry.devices):
                if not fnmatch.filter(self.devices, pattern):
                    raise ValueError(f"no device is called {pattern!r}")
        for name in (name for reads in self._all_reads() for name in reads):
            series_of(name)
        return self

    def _all_reads(self) -> list[Mapping[str, Reading]]:
        of_devices = [device.reads for device in self.devices.values()]
        return [*of_devices, *(entry.reads for entry in self.timeline if entry.reads)]

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def begins_at(self) -> datetime:
        return parse_moment(self.start, self.zone)

    @property
    def ends_at(self) -> datetime:
        return parse_moment(self.until, self.zone)

    @property
    def interval(self) -> timedelta:
        return parse_duration(self.evaluate)

    @property
    def push_interval(self) -> timedelta:
        return parse_duration(self.push)

    @property
    def step(self) -> timedelta:
        """How far the clock goes at a time: every evaluation and every push is at the end of a step."""
        return timedelta(seconds=math.gcd(int(self.interval.total_seconds()), int(self.push_interval.total_seconds())))

    def entries(self) -> list[tuple[datetime, Entry]]:
        """Everything that happens, in order."""
        moments = [(parse_moment(text, self.zone), entry) for entry in self.timeline for text in listed(entry.at)]
        return sorted(moments, key=lambda found: found[0])

    def matching(self, entry: Entry) -> list[str]:
        """The devices that an entry names."""
        return [name for pattern in listed(entry.devices) for name in fnmatch.filter(self.devices, pattern)]


def load_story(path: Path) -> Story:
    """Raises StoryError with every problem and its line."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=LOADER)
        given = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)  # noqa: S506 - it is a safe one
    except yaml.YAMLError as error:
        raise StoryError(f"{path}: {error}") from error
    try:
        return Story.model_validate(given)
    except ValidationError as error:
        problems = [
            f"{path}:{_line(root, one['loc'])}: {'.'.join(map(str, one['loc']))}: {one['msg']}"
            for one in error.errors(include_url=False)
        ]
        raise StoryError("\n".join(problems)) from error


def series_of(reading: str) -> tuple[str, dict[str, str]]:
    """Name and labels of the series that a reading stands for. Raises ValueError."""
    match = _SERIES.fullmatch(READINGS.get(reading, reading))
    if match is None or (match[2] and _LABEL.sub("", match[2])):
        raise ValueError(f'{reading!r} is no reading; they are {", ".join(READINGS)}, or a series like up{{job="x"}}')
    return match[1], dict(_LABEL.findall(match[2] or ""))


def _spread(devices: Mapping[str, object]) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, device in devices.items():
        many = _MANY.search(str(name))
        if many is None:
            found.append((name, device))
            continue
        numbers = range(int(many[1]), int(many[2]) + 1)
        found += [(_MANY.sub(str(number).zfill(len(many[1])), name), device) for number in numbers]
    return found


def listed(value: str | list[str]) -> Sequence[str]:
    """A text stands for a list of one."""
    return [value] if isinstance(value, str) else value


def _line(node: yaml.Node | None, place: Sequence[int | str]) -> int:
    """The line of a value, or of the last on the way to it that stands in the file."""
    line = 1
    for key in place:
        if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
        elif isinstance(node, yaml.MappingNode):
            entry = next((pair for pair in node.value if pair[0].value == str(key)), None)
            if entry is None:
                continue  # a step that pydantic made, such as a member of a union
            line, node = entry[0].start_mark.line + 1, entry[1]
            continue
        else:
            continue
        line = node.start_mark.line + 1
    return line
