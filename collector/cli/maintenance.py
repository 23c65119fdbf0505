"""`maintenance`: what contracts promise to do again and again, and its rounds."""

from datetime import datetime, timedelta

import click

from collector.cli.common import (
    DURATION,
    Row,
    actor,
    json_option,
    print_fields,
    print_rows,
    with_database,
    with_settings,
)
from collector.cli.local_time import MOMENT
from collector.clock import system_clock
from collector.config import Settings
from collector.contracts import Priority, load_service_models
from collector.contracts.maintenance_tasks import load_maintenance_tasks
from collector.contracts.recurrence import next_start
from collector.db.database import Database
from collector.desk import checklists
from collector.desk import maintenance as store
from collector.desk.maintenance import Plan, Round
from collector.desk.rounds import rounds_between
from collector.incidents.maintenance import NewPlan, add_plan, end_plan
from collector.incidents.windows import Scope

LIST_COLUMNS = ["id", "where", "task", "title", "next_due", "repeat", "minutes", "window", "ended_at"]
LANGUAGES = ("en", "nl")


@click.group()
def maintenance() -> None:
    """Regular maintenance: plans, whose rounds open tickets some days before they are due, and their checklists.

    E.g. `maintenance due`.
    """


@maintenance.command("tasks")
@json_option
@with_settings
def tasks(settings: Settings, as_json: bool) -> None:
    """List what there is to plan, with its checklist. maintenance_tasks.yaml in the data folder adds more.

    E.g. `maintenance tasks --json`.
    """
    rows: list[Row] = [
        {
            "task": name,
            "title": task.title.en,
            "lead_days": task.lead_days,
            "minutes": task.minutes,
            "holds_back": task.holds_back,
            "checklist": [item.en for item in task.checklist],
        }
        for name, task in load_maintenance_tasks(settings.data).items()
    ]
    print_rows(rows, as_json=as_json, columns=["task", "title", "lead_days", "minutes", "holds_back"])


@maintenance.command("add")
@click.option("--customer", required=True, help="For whom.")
@click.option("--task", required=True, help="What is done; see: maintenance tasks.")
@click.option(
    "--from",
    "starts",
    type=MOMENT,
    required=True,
    help="When the first round is due, by the clock on the wall at the site, or at the customer's sites.",
)
@click.option(
    "--repeat", required=True, help="When it comes again: an RRULE of RFC 5545, such as FREQ=MONTHLY;BYDAY=2SU."
)
@click.option("--lasts", type=DURATION, help="How long a round takes, such as 4h.  [default: as the task says]")
@click.option("--site", help="Only at this site.")
@click.option("--device", help="Only on this device.")
@click.option("--tag", help="Only on devices with this tag.")
@click.option("--time-zone", help="As the IANA names it.  [default: the site's, or the sites' if they agree]")
@click.option("--title", help="Of its tickets.  [default: the task's, in Dutch and English]")
@click.option("--skill", help="The category of its tickets, for which a technician has the skill.")
@click.option(
    "--priority",
    type=click.Choice([priority.value for priority in Priority]),
    default="P4",
    show_default=True,
    help="Of its tickets.",
)
@click.option("--contract", type=int, help="Ends with this contract.  [default: when no contract maintains the task]")
@click.option("--window/--no-window", default=None, help="Hold back what it causes.  [default: as the task says]")
@with_database
async def add(
    database: Database,
    settings: Settings,
    *,
    customer: str,
    task: str,
    starts: datetime,
    repeat: str,
    lasts: timedelta | None,
    site: str | None,
    device: str | None,
    tag: str | None,
    time_zone: str | None,
    title: str | None,
    skill: str | None,
    priority: str,
    contract: int | None,
    window: bool | None,
) -> None:
    """Add a plan, and print its id.

    E.g. `maintenance add --customer acme --task patch_round --tag servers --from "2026-03-08 02:00"
    --repeat "FREQ=MONTHLY;BYDAY=2SU"`.
    """
    wanted = NewPlan(
        scope=Scope(customer, site, device, tag),
        task=task,
        starts_local=starts,
        recurrence=repeat,
        length=lasts,
        time_zone=time_zone,
        title=title,
        skill=skill,
        priority=Priority(priority),
        contract=contract,
        holds_back=window,
    )
    models, known = load_service_models(settings.data), load_maintenance_tasks(settings.data)
    async with database.begin() as connection:
        plan = await add_plan(connection, models, known, wanted, author=actor(), now=system_clock())
    click.echo(plan)


@maintenance.command("list")
@click.option("--customer", help="Only those of this customer.")
@click.option("--all", "everything", is_flag=True, help="Also those that have ended.")
@json_option
@with_database
async def list_command(
    database: Database, _settings: Settings, *, customer: str | None, everything: bool, as_json: bool
) -> None:
    """List plans, with when the next round is due.

    E.g. `maintenance list --customer acme`.
    """
    now = system_clock()
    async with database.connect() as connection:
        found = await store.list_plans(connection, customer=customer, only_active=not everything)
    print_rows([_plan_row(plan, now) for plan in found], as_json=as_json, columns=LIST_COLUMNS)


@maintenance.command("show")
@click.argument("plan", type=int)
@click.option("--language", type=click.Choice(LANGUAGES), default="en", show_default=True, help="Of the checklist.")
@json_option
@with_database
async def show(database: Database, _settings: Settings, plan: int, *, language: str, as_json: bool) -> None:
    """Show a plan with its checklist and its rounds so far.

    E.g. `maintenance show 1`.
    """
    now = system_clock()
    async with database.connect() as connection:
        found = await store.get_plan(connection, plan)
        rounds = await store.rounds_of(connection, [plan])
    lines: list[Row] = [
        {"due_at": one.due_at, "ticket": one.ticket, "items": len(one.checklist), "left": len(one.left)}
        for one in rounds
    ]
    row = {**_plan_row(found, now), "checklist": [getattr(step, language) for step in found.checklist]}
    if as_json:
        print_fields({**row, "rounds": lines}, as_json=True)
        return
    print_fields(row, as_json=False)
    if lines:
        click.echo()
        print_rows(lines, as_json=False)


@maintenance.command("end")
@click.argument("plan", type=int)
@with_database
async def end(database: Database, _settings: Settings, plan: int) -> None:
    """End a plan from now on, with its maintenance window. Tickets that are open stay.

    E.g. `maintenance end 1`.
    """
    async with database.begin() as connection:
        await end_plan(connection, plan, actor=actor(), now=system_clock())
    click.echo(f"maintenance plan {plan} has ended", err=True)


@maintenance.command("due")
@click.option("--within", type=DURATION, default="30d", show_default=True, help="How far to look ahead.")
@click.option("--customer", help="Only those of this customer.")
@json_option
@with_database
async def due(
    database: Database, _settings: Settings, *, within: timedelta, customer: str | None, as_json: bool
) -> None:
    """List the rounds that are open or come next, with their tickets where they have one.

    E.g. `maintenance due --within 14d`.
    """
    now = system_clock()
    async with database.connect() as connection:
        plans = await store.list_plans(connection, customer=customer)
        open_rounds = await store.open_rounds(connection, [plan.id for plan in plans])
    by_id = {plan.id: plan for plan in plans}
    rows = [_due_row(by_id[one.plan], one.due_at, one) for one in open_rounds if one.plan is not None]
    opened = {(one.plan, one.due_at) for one in open_rounds}
    for plan in plans:
        coming = rounds_between(plan, now, now + within)
        rows.extend(_due_row(plan, at, None) for at in coming if (plan.id, at) not in opened)
    print_rows(sorted(rows, key=lambda row: (str(row["due_at"]), str(row["plan"]))), as_json=as_json)


@maintenance.command("checklist")
@click.argument("ticket", type=int)
@click.option("--language", type=click.Choice(LANGUAGES), default="en", show_default=True, help="Of the items.")
@json_option
@with_database
async def checklist(database: Database, _settings: Settings, ticket: int, *, language: str, as_json: bool) -> None:
    """Show the checklist of a round.

    E.g. `maintenance checklist 1001`.
    """
    async with database.connect() as connection:
        round_ = await store.get_round(connection, ticket)
    rows: list[Row] = [
        {
            "item": number,
            "what": getattr(step, language),
            "needs_evidence": step.needs_evidence,
            "done_at": None if step.done_at is None else datetime.fromisoformat(step.done_at),
            "done_by": step.done_by,
            "note": step.note,
            "evidence": step.evidence,
            "attachment": step.attachment,
            "left_out": step.left_out,
            "seen": step.seen,
        }
        for number, step in enumerate(round_.checklist, start=1)
    ]
    print_rows(rows, as_json=as_json)


@maintenance.command("tick")
@click.argument("ticket", type=int)
@click.argument("item", type=int)
@click.option("--note", help="What there is to say of it.")
@click.option("--evidence", help="What shows that it was done.")
@click.option("--attachment", type=int, help="A file beside the ticket that shows it, by its id.")
@click.option("--undo", is_flag=True, help="It was a mistake: the item is to be done.")
@with_database
async def tick(
    database: Database,
    _settings: Settings,
    ticket: int,
    item: int,
    *,
    note: str | None,
    evidence: str | None,
    attachment: int | None,
    undo: bool,
) -> None:
    """Tick an item of a round's checklist.

    E.g. `maintenance tick 1001 2 --note "all 4 servers" --evidence "backup report of 8 March"`.
    """
    async with database.begin() as connection:
        if undo:
            round_ = await checklists.untick(connection, ticket, item, actor=actor(), now=system_clock())
        else:
            round_ = await checklists.tick(
                connection,
                ticket,
                item,
                note=note,
                evidence=evidence,
                attachment=attachment,
                actor=actor(),
                now=system_clock(),
            )
    _tell_left(round_)


@maintenance.command("leave-out")
@click.argument("ticket", type=int)
@click.argument("item", type=int, required=False)
@click.option("--reason", required=True, help="Why it is not done.")
@with_database
async def leave_out(database: Database, _settings: Settings, ticket: int, item: int | None, reason: str) -> None:
    """Leave out an item, or all that is left, so that the ticket can be resolved.

    E.g. `maintenance leave-out 1001 4 --reason "no test machine free"`.
    """
    async with database.begin() as connection:
        round_ = await checklists.leave_out(connection, ticket, item, reason=reason, actor=actor(), now=system_clock())
    _tell_left(round_)


def _tell_left(round_: Round) -> None:
    click.echo(f"ticket {round_.ticket}: {len(round_.left)} of {len(round_.checklist)} items left", err=True)


def _plan_row(plan: Plan, now: datetime) -> dict[str, object]:
    ended = plan.ended_at is not None
    return {
        "id": plan.id,
        "customer": plan.customer,
        "where": str(Scope(plan.customer, plan.site, plan.device, plan.tag)),
        "task": plan.task,
        "title": plan.title,
        "next_due": None if ended else next_start(plan.starts_local, plan.recurrence, plan.time_zone, now),
        "starts": f"{plan.starts_local:%Y-%m-%d %H:%M} {plan.time_zone}",
        "repeat": plan.recurrence,
        "minutes": plan.length // timedelta(minutes=1),
        "contract": plan.contract,
        "skill": plan.skill,
        "priority": plan.priority,
        "window": plan.window,
        "author": plan.author,
        "created_at": plan.created_at,
        "ended_at": plan.ended_at,
    }


def _due_row(plan: Plan, due_at: datetime, round_: Round | None) -> Row:
    return {
        "plan": plan.id,
        "customer": plan.customer,
        "task": plan.task,
        "title": plan.title,
        "due_at": due_at,
        "ticket": None if round_ is None else round_.ticket,
        "left": None if round_ is None else len(round_.left),
    }
