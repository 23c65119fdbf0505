"""What was agreed with a customer: service models and priorities."""

from collector.contracts.office_hours import (
    DEFAULT_HOLIDAYS,
    DEFAULT_OFFICE_HOURS,
    NO_HOLIDAYS,
    OfficeHours,
    OfficeHoursError,
)
from collector.contracts.priority import Priority, Severity, highest, priority_of
from collector.contracts.service_models import (
    AlertOutcome,
    ServiceModel,
    ServiceModelError,
    ServiceModels,
    UnknownPlanError,
    load_service_models,
    model_named,
)

__all__ = [
    "DEFAULT_HOLIDAYS",
    "DEFAULT_OFFICE_HOURS",
    "NO_HOLIDAYS",
    "AlertOutcome",
    "OfficeHours",
    "OfficeHoursError",
    "Priority",
    "ServiceModel",
    "ServiceModelError",
    "ServiceModels",
    "Severity",
    "UnknownPlanError",
    "highest",
    "load_service_models",
    "model_named",
    "priority_of",
]
