"""When a device is expected to be there."""

from collections.abc import Mapping
from enum import StrEnum

from protocol.wire import Kind


class Policy(StrEnum):
    ALWAYS = "always"  # silence is a fault at any time
    OFFICE_HOURS = "office_hours"  # only within its site's office hours, of a device that was there that day
    ROAMING = "roaming"  # never: it goes home, its lid is closed
    NONE = "none"  # never, and nobody is asked whether it is still in use


DEFAULT_POLICIES: Mapping[str, Policy] = {
    Kind.DESKTOP: Policy.OFFICE_HOURS,
    Kind.LAPTOP: Policy.ROAMING,
    Kind.SERVER: Policy.ALWAYS,
    Kind.PRINTER: Policy.NONE,
    Kind.OTHER: Policy.ALWAYS,
}


def policy_of(own: str | None, of_customer: str | None, kind: str) -> Policy:
    """What holds: what is set for the device, or for its customer's devices of this kind, or the kind's default."""
    return Policy(own or of_customer or DEFAULT_POLICIES.get(kind, Policy.ALWAYS))
