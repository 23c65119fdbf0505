"""What a report of maintenance says, in the language of whose machines were maintained."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from collector.desk.maintenance import Step
from collector.fleet.people import Language
from collector.reporting.maintenance import MaintenanceReport, RoundReport, RoundState
from collector.reporting.maintenance_shape import due_by_its_clock

_SUMMARY = {
    Language.NL: "{planned} gepland, {done} gedaan, {skipped} overgeslagen, {minutes} minuten",
    Language.EN: "{planned} planned, {done} done, {skipped} skipped, {minutes} minutes",
}
_COLUMNS = {
    Language.NL: ("wanneer", "titel", "stand", "melding", "punten", "afgevinkt", "minuten"),
    Language.EN: ("due", "title", "state", "ticket", "items", "items_done", "minutes"),
}
_STATES: Mapping[RoundState, str] = {
    RoundState.DONE: "gedaan",
    RoundState.SKIPPED: "overgeslagen",
    RoundState.MISSED: "gemist",
    RoundState.OPEN: "bezig",
    RoundState.COMING: "komt nog",
}
_TICKET = {Language.NL: "melding", Language.EN: "ticket"}
_FILE = {Language.NL: "bestand", Language.EN: "file"}
_LEFT_OUT = {Language.NL: "overgeslagen", Language.EN: "left out"}


@dataclass(frozen=True, slots=True)
class MaintenanceWords:
    language: Language

    def summary(self, report: MaintenanceReport) -> str:
        told = _SUMMARY[self.language].format(
            planned=report.planned, done=report.done, skipped=report.skipped, minutes=report.minutes
        )
        return f"{report.name} ({report.customer}), {report.month}: {told}"

    @property
    def columns(self) -> tuple[str, ...]:
        return _COLUMNS[self.language]

    def row(self, one: RoundReport) -> dict[str, object]:
        """By column."""
        state = _STATES[one.state] if self.language is Language.NL else one.state.value
        values = (due_by_its_clock(one), one.plan.title, state, one.ticket, one.items, one.items_done, one.minutes)
        return dict(zip(self.columns, values, strict=True))

    def items(self, one: RoundReport) -> Iterator[str]:
        """What shows that items were done, and why others were not: a line each."""
        of = f"{_TICKET[self.language]} {one.ticket}"
        for told in one.evidence:
            yield f"{of}, {self._name(told.step)}: {self._evidence(told.step)}"
        for told in one.left_out:
            yield f"{of}, {self._name(told.step)}: {_LEFT_OUT[self.language]}, {told.step.left_out or ''}"

    def _name(self, step: Step) -> str:
        return step.nl if self.language is Language.NL else step.en

    def _evidence(self, step: Step) -> str:
        file = None if step.attachment is None else f"{_FILE[self.language]} {step.attachment}"
        return "; ".join(one for one in (step.evidence, file) if one)
