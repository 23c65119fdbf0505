"""Service models: what a provider sells, as data. A third one is a paragraph of YAML, not code."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from collector.contracts.charge import Charge
from protocol.errors import PermanentError

SHIPPED = Path(__file__).with_name("service_models.yaml")
OWN_NAME = "service_models.yaml"  # in the data folder


class ServiceModelError(PermanentError):
    """A file of service models is wrong; the message names each problem and its place."""


class UnknownPlanError(PermanentError):
    """There is no service model of this name."""


class AlertOutcome(StrEnum):
    """What a firing alert becomes."""

    TICKET = "ticket"
    SHADOW = "shadow"
    ASK_TECHNICIAN = "ask_technician"


class _Written(BaseModel):
    """A model as it stands in the file, under its name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(min_length=1, max_length=200)
    on_alert: AlertOutcome
    requires_monitoring_consent: bool = False
    priority_shift: int = Field(default=0, ge=0, le=3)
    charge: Charge = Charge()


class ServiceModel(_Written):
    name: str


ServiceModels = Mapping[str, ServiceModel]  # by name


def model_named(models: ServiceModels, name: str) -> ServiceModel:
    """Raises UnknownPlanError, which lists what there is."""
    if name not in models:
        raise UnknownPlanError(f"there is no plan {name!r}; choose one of {', '.join(models)}")
    return models[name]


def load_service_models(data: Path | None = None) -> ServiceModels:
    """The models shipped, with those of `data`/service_models.yaml added or in their place.

    Raises ServiceModelError.
    """
    models = parse_service_models(SHIPPED.read_text(encoding="utf-8"), str(SHIPPED))
    own = data / OWN_NAME if data is not None else None
    if own is not None and own.exists():
        try:
            text = own.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise ServiceModelError(f"{own}: cannot be read: {exc}") from exc
        models |= parse_service_models(text, str(own))
    return models


def parse_service_models(text: str, source: str) -> dict[str, ServiceModel]:
    """The models that `text` (YAML) describes; `source` names it in errors.

    Raises ServiceModelError with all problems at once."""
    try:
        written = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ServiceModelError(f"{source}: is not valid YAML: {exc}") from exc
    try:
        models = _FILE.validate_python({} if written is None else written)
    except ValidationError as exc:
        problems = [
            f"{source}: {'.'.join(str(part) for part in error['loc'] if part != '[key]') or 'file'}: {error['msg']}"
            for error in exc.errors(include_url=False)
        ]
        raise ServiceModelError("\n".join(problems)) from exc
    return {name: ServiceModel(name=name, **model.model_dump()) for name, model in models.items()}


_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_FILE = TypeAdapter(dict[_Name, _Written])
