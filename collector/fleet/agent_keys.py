"""What agents can be told otherwise than by default: keys, and the values that each may have."""

import importlib.resources
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic import ValidationError

from collector.fleet.errors import FleetError
from protocol import wire
from protocol.models import CustomCheck

MAX_KEY_CHARS = 128
# Of one layer: three of them together stay within what a configuration may hold.
MAX_SERVICES_PER_LAYER = wire.MAX_SERVICES // 3
MAX_CHECKS_PER_LAYER = wire.MAX_CUSTOM_CHECKS // 3
# Each reading of these starts a process of its own.
MIN_ISOLATED_SECONDS = 60.0

_SERVICE = re.compile(wire.SERVICE_NAME_PATTERN)
_CHECK = re.compile(wire.CHECK_NAME_PATTERN)
PROBE_NAME = _CHECK


class Group(StrEnum):
    """What a key begins with."""

    PUSH_INTERVAL = "push_interval"  # seconds
    INTERVAL = "interval"  # interval.PROBE: seconds
    PROBE = "probe"  # probe.PROBE: whether it is read
    SERVICE = "service"  # service.NAME: whether it is watched
    CHECK = "check"  # check.NAME: a Nagios plugin, or false: not run


FORMS = "push_interval, interval.PROBE, probe.PROBE, service.NAME, check.NAME"
Value = bool | float | dict[str, Any]


@dataclass(frozen=True, slots=True)
class KnownProbe:
    interval_seconds: float  # its own
    is_isolated: bool  # read in a process of its own


@cache
def known_probes() -> Mapping[str, KnownProbe]:
    """The probes that agents of this version bring, by name."""
    listed = json.loads(importlib.resources.files("rules").joinpath("probes.json").read_bytes())
    return {name: KnownProbe(one["interval_seconds"], one["isolated"]) for name, one in listed.items()}


def split_key(key: str) -> tuple[Group, str]:
    """The group, and what it is about: empty for the push interval. Whether there is such a probe is not looked at.

    Raises FleetError."""
    word, dot, name = key.partition(".")
    if word not in set(Group) or bool(dot) is (word == Group.PUSH_INTERVAL) or len(key) > MAX_KEY_CHARS:
        raise FleetError(f"agents cannot be told {key[:80]!r}; there are {FORMS}")
    group = Group(word)
    if group in (Group.INTERVAL, Group.PROBE) and not PROBE_NAME.fullmatch(name):
        raise FleetError(f"a probe is named by letters, digits, '.', '-' and '_', at most 64, not {name[:80]!r}")
    if group is Group.SERVICE and not _SERVICE.fullmatch(name):
        raise FleetError(f"a service is named without blanks and wildcards, not {name[:80]!r}")
    if group is Group.CHECK and not _CHECK.fullmatch(name):
        raise FleetError(f"a check is named by letters, digits, '.', '-' and '_', at most 64, not {name[:80]!r}")
    return group, name


def checked_value(key: str, value: object) -> Value:
    """The value as it is kept. Raises FleetError, which says what the key takes."""
    group, name = split_key(key)
    match group:
        case Group.PUSH_INTERVAL:
            return _seconds(key, value, 1.0, wire.MAX_FRAME_INTERVAL_SECONDS)
        case Group.INTERVAL:
            probe = known_probes().get(name)
            low = MIN_ISOLATED_SECONDS if probe is None or probe.is_isolated else 1.0  # of another's it is not known
            return _seconds(key, value, low, wire.MAX_INTERVAL_SECONDS)
        case Group.CHECK if value is not False:
            return _check(key, name, value)
        case _:
            if not isinstance(value, bool):
                raise FleetError(f"{key} is on or off")
            return value


def _seconds(key: str, value: object, low: float, high: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise FleetError(f"{key} is {low:g} to {high:g} seconds")
    return float(value)


def _check(key: str, name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FleetError(f"{key} is a command with its interval and timeout, or off")
    try:
        check = CustomCheck.model_validate({**value, "name": name})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise FleetError(f"{key}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    program = check.command[0]
    if not (program.startswith("/") or re.match(r"[A-Za-z]:\\", program)):
        raise FleetError(
            f"{key} begins with the absolute path of a program, such as /usr/lib/nagios/plugins/check_disk, "
            f"not {program[:80]!r}"
        )
    return check.model_dump(mode="json", exclude={"name"})
