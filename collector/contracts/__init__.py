"""What was agreed with a customer: service models, priorities and hours."""

from collector.contracts.charge import Charge
from collector.contracts.office_hours import (
    DEFAULT_HOLIDAYS,
    DEFAULT_OFFICE_HOURS,
    NO_HOLIDAYS,
    OfficeHours,
    OfficeHoursError,
)
from collector.contracts.priority import Level, Priority, Severity, highest, priority_judged, priority_of
from collector.contracts.service_models import (
    AlertOutcome,
    ServiceModel,
    ServiceModelError,
    ServiceModels,
    UnknownPlanError,
    load_service_models,
    model_named,
)
from collector.contracts.week_hours import WeekHours, WeekHoursError

__all__ = [
    "DEFAULT_HOLIDAYS",
    "DEFAULT_OFFICE_HOURS",
    "NO_HOLIDAYS",
    "AlertOutcome",
    "Charge",
    "Level",
    "OfficeHours",
    "OfficeHoursError",
    "Priority",
    "ServiceModel",
    "ServiceModelError",
    "ServiceModels",
    "Severity",
    "UnknownPlanError",
    "WeekHours",
    "WeekHoursError",
    "highest",
    "load_service_models",
    "model_named",
    "priority_judged",
    "priority_of",
]
