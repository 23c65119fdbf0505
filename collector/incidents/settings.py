"""The numbers by which alerts become incidents, with their defaults."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class IncidentSettings:
    # More incidents than these at one customer, within so long, are one storm.
    storm_incidents: int = 5
    storm_within: timedelta = timedelta(minutes=10)
    # An incident that began or ended so often within so long is unstable: three rounds in an hour.
    flap_changes: int = 6
    flap_within: timedelta = timedelta(hours=1)
    # It is unstable until it has neither begun nor ended for so long.
    steady_after: timedelta = timedelta(minutes=30)
    # A fault that comes back sooner was not solved: its ticket reopens.
    reopen_within: timedelta = timedelta(hours=24)
