"""Tasks of regular maintenance, as data: what a round consists of, and how long before it is due its ticket opens."""

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from collector.contracts.agreement_files import NAME_PATTERN, Written, own_text, parse
from protocol.errors import PermanentError

SHIPPED = Path(__file__).with_name("maintenance_tasks.yaml")
OWN_NAME = "maintenance_tasks.yaml"  # in the data folder
MAX_ITEMS = 50
DEFAULT_LEAD = timedelta(days=3)  # of a task that is in no file any more

Text = Annotated[str, Field(min_length=1, max_length=200)]


class UnknownTaskError(PermanentError):
    """There is no task of this name."""


class BothLanguages(Written):
    nl: Text
    en: Text


class Item(BothLanguages):
    evidence: bool = False  # ticked only with something that shows it


class MaintenanceTask(Written):
    title: BothLanguages
    lead_days: int = Field(default=3, ge=0, le=60)
    minutes: int = Field(default=60, ge=1, le=7 * 24 * 60)
    holds_back: bool = False
    skill: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    checklist: tuple[Item, ...] = Field(min_length=1, max_length=MAX_ITEMS)

    @property
    def lead(self) -> timedelta:
        return timedelta(days=self.lead_days)


MaintenanceTasks = Mapping[str, MaintenanceTask]  # by name


def task_named(tasks: MaintenanceTasks, name: str) -> MaintenanceTask:
    """Raises UnknownTaskError, which lists what there is."""
    if name not in tasks:
        raise UnknownTaskError(f"there is no task {name!r} of maintenance; choose one of {', '.join(tasks)}")
    return tasks[name]


def load_maintenance_tasks(data: Path | None = None) -> MaintenanceTasks:
    """The tasks shipped, with those of `data`/maintenance_tasks.yaml added or in their place.

    Raises AgreementFileError."""
    tasks = dict(_shipped())
    path = data / OWN_NAME if data is not None else None
    text = own_text(path) if path is not None else None
    return tasks if text is None else tasks | parse(_FILE, text, str(path))


@lru_cache(maxsize=1)
def _shipped() -> MaintenanceTasks:
    return parse(_FILE, SHIPPED.read_text(encoding="utf-8"), str(SHIPPED))


_FILE = TypeAdapter(dict[Annotated[str, Field(pattern=NAME_PATTERN)], MaintenanceTask])
