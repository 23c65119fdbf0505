"""Flapping: a fault that comes and goes is one open ticket, which ends in its true state."""

from collections.abc import Mapping

from collector.incidents.settings import IncidentSettings


def comes_and_goes(changes: Mapping[str, int], settings: IncidentSettings) -> bool:
    """`changes`: how often each incident of a ticket began or ended within `flap_within`."""
    return max(changes.values(), default=0) >= settings.flap_changes


def was_steady(latest: Mapping[str, int]) -> bool:
    """Whether a fault that ends now had been steady until then. `latest`: its changes within `steady_after`, the end
    among them."""
    return max(latest.values(), default=0) <= 1


def unstable_reason(changes: Mapping[str, int], settings: IncidentSettings) -> str:
    minutes = settings.steady_after.total_seconds() / 60
    return (
        f"the fault comes and goes ({max(changes.values())} changes within "
        f"{settings.flap_within.total_seconds() / 60:.0f} min): the ticket stays open until it has been steady for "
        f"{minutes:.0f} min"
    )
