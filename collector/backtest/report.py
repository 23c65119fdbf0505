"""A backtest for the command line: a row for each customer, new rules beside those that are in force."""

import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from collector.alerting.pack import RulePack, load_pack
from collector.alerting.ruleset import Group
from collector.app import incident_settings, load_rules
from collector.backtest import picture
from collector.backtest.replay import Outcome
from collector.backtest.run import Question, run
from collector.config import Settings
from collector.db.database import Database
from collector.fleet.contracts import plan_at
from collector.fleet.customers import get_customer, list_customers

NEW, BEFORE = "new rules", "rules in force"


async def compare(
    settings: Settings,
    database: Database,
    *,
    file: Path,
    against: Path | None,
    since: timedelta,
    step: timedelta,
    customer: str | None,
    now: datetime,
) -> tuple[list[dict[str, object]], str]:
    """The rows, and the picture. Raises RuleFileError, NotFoundError, and what a backtest raises."""
    new = load_pack([file])
    before = load_pack([against]) if against is not None else _of_same_names(load_rules(settings), new)
    end = now.replace(second=0, microsecond=0)
    question = Question(end - since, end, step, customer, incident_settings(settings))
    async with database.connect() as connection:
        if customer is not None:
            await get_customer(connection, customer)
        plans = {one.id: await plan_at(connection, one.id, end) for one in await list_customers(connection)}
    told = _Told()
    outcome_new, outcome_before = await run(settings, database, [new, before], question, told)
    for rule, series in {**outcome_before.unrecorded, **outcome_new.unrecorded}.items():
        told.line(
            f"{rule} reads {', '.join(series)}, of which nothing is stored: recording rules are not replayed, so it "
            "cannot be told what it would have done"
        )
    customers = [one for one in plans if customer in (None, one)]
    name = str(against) if against is not None else BEFORE
    rows = [_row(one, plans[one], outcome_new, outcome_before) for one in customers]
    by_tickets = sorted(customers, key=lambda one: -len([bar for bar in outcome_new.bars if bar.customer == one]))
    drawn = picture.render({NEW: outcome_new, name: outcome_before}, by_tickets, question.start, question.end)
    return rows, drawn


def _row(customer: str, plan: str | None, new: Outcome, before: Outcome) -> dict[str, object]:
    row: dict[str, object] = {"customer": customer, "plan": plan}
    for suffix, outcome in (("", new), ("_before", before)):
        row |= {
            f"alerts{suffix}": outcome.alerts[customer],
            f"tickets{suffix}": outcome.tickets(customer),
            f"shadow_tickets{suffix}": outcome.shadows(customer),
            f"reopened{suffix}": outcome.reopened[customer],
            f"held_back{suffix}": outcome.without[customer],
        }
    return row


def _of_same_names(in_force: RulePack, new: RulePack) -> RulePack:
    """Of the rules in force those whose names the new rules have: one file is compared with what it replaces."""
    names = {rule.alert for rule in new.rules.alert_rules}

    def named(group: Group) -> Group:
        return replace(group, rules=tuple(rule for rule in group.alert_rules if rule.alert in names))

    groups = tuple(group for group in map(named, in_force.rules.groups) if group.rules)
    return replace(in_force, rules=replace(in_force.rules, groups=groups))


class _Told:
    """Tells how far it is, on a terminal in one line."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def __call__(self, what: str) -> None:
        seconds = time.monotonic() - self._begun
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{seconds:6.1f} s  {what}")
        else:
            sys.stderr.write(f"{seconds:6.1f} s  {what}\n")
        sys.stderr.flush()

    @staticmethod
    def line(text: str) -> None:
        """What is to stay readable."""
        sys.stderr.write(f"\r\x1b[K{text}\n" if sys.stderr.isatty() else f"{text}\n")
        sys.stderr.flush()
