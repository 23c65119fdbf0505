"""When an agent makes its frames, and when it first comes to the collector: each device at moments of its own."""

import zlib

JUST_BOOTED_SECONDS = 600.0  # until then many machines may have started at one moment, as after a power cut
SPREAD_SHARE = 0.5  # of the push interval, over which they come,
SPREAD_SECONDS = 30.0  # or of this: who waits for the machine must not notice


def phase_of(device_id: str) -> float:
    """A device's place in the interval, 0 to 1: agents that start together do not push together."""
    return (zlib.crc32(device_id.encode()) & 0xFFFF) / 0x10000


def next_tick(now: float, interval_seconds: float, phase: float) -> float:
    """The next instant of the grid `(k + phase) * interval_seconds` after `now`."""
    offset = phase * interval_seconds
    return (int((now - offset) // interval_seconds) + 1) * interval_seconds + offset


def first_wait_seconds(boot_seconds: float, interval_seconds: float, phase: float) -> float:
    """How long after the agent's start it goes to the collector first: at once, unless the machine has just booted."""
    if boot_seconds >= JUST_BOOTED_SECONDS:
        return 0.0
    return phase * min(SPREAD_SHARE * interval_seconds, SPREAD_SECONDS)
