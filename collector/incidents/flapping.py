"""Flapping: a fault that comes and goes is one open ticket, which ends in its true state."""

from collections.abc import Mapping

from collector.incidents.settings import IncidentSettings


def is_unstable(changes: Mapping[str, int], latest: Mapping[str, int], settings: IncidentSettings) -> bool:
    """Whether a ticket whose last incident ends now comes and goes.

    `changes`: how often each of its incidents began or ended within `flap_within`; `latest`: within `steady_after`. A
    fault that was steady until it ended just now, the only one of the latest changes, does not.
    """
    return any(count >= settings.flap_changes and latest.get(key, 0) > 1 for key, count in changes.items())


def unstable_reason(changes: Mapping[str, int], settings: IncidentSettings) -> str:
    minutes = settings.steady_after.total_seconds() / 60
    return (
        f"the fault comes and goes ({max(changes.values())} changes within "
        f"{settings.flap_within.total_seconds() / 60:.0f} min): the ticket stays open until it has been steady for "
        f"{minutes:.0f} min"
    )
