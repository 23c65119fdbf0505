"""Plays a story: the real collector with a clock of the story's, the real commands, simulated devices.

Nothing here decides anything about alerts or tickets: frames are handed to the collector as pushes, the steps that
`serve` repeats are called as the clock goes on, and operators' lines run the commands themselves.
"""

import asyncio
import io
import json
import shlex
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
    suppress,
)
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import yaml
from sqlalchemy import insert

from collector import clock as clocks
from collector.alerting.pack import RulePack
from collector.alerting.yamlfile import shipped_folder
from collector.app import Collector, load_rules
from collector.cli import NOUNS
from collector.cli import main as command_line
from collector.clock import SteadyClock
from collector.config import Settings, load_settings
from collector.contracts.service_models import OWN_NAME
from collector.db.database import Database
from collector.db.revisions import Topic, bump
from collector.db.tables import devices as devices_table
from collector.fleet.customers import ensure_site
from collector.fleet.secrets import hash_secret
from protocol.models import Push, PushAnswer
from tests.scenarios.devices import Record, SimulatedDevice
from tests.scenarios.invariants import Invariants
from tests.scenarios.moments import parse_duration
from tests.scenarios.outcome import Outcome
from tests.scenarios.story import LOADER, CollectorAct, Entry, Line, RuleChange, Story, StoryError, listed

CHECKPOINT_EVERY = timedelta(minutes=5)
COMPACT_EVERY = timedelta(hours=12)
NIGHT = timedelta(minutes=30)  # so long after the last machine was switched off, presence is swept with the rules only
CONSENT = "J. Jansen, 2026-01-05"
PROGRESS = "progress.json"
PROBLEMS = "problems"


for _noun in NOUNS:  # they are loaded when they are first used; every child would do it anew
    import_module(f"collector.cli.{_noun}")


class KillSwitch:
    """Where a run may end by force. This one lets it live; tests.scenarios.killing has the other."""

    def step(self, index: int) -> None:
        """A step of the story begins."""

    def point(self) -> None:
        """Here it may happen."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within this it does not happen: what an operator does is done by another process."""
        yield


@dataclass(slots=True)
class Progress:
    """How far the timeline has come, on disk: what a run that was killed leaves to the next."""

    path: Path
    steps: int = 0  # done wholly
    entries: int = 0
    is_set_up: bool = False

    @classmethod
    def load(cls, path: Path) -> "Progress":
        return cls(path, **json.loads(path.read_text())) if path.exists() else cls(path)

    def save(self) -> None:
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps({"steps": self.steps, "entries": self.entries, "is_set_up": self.is_set_up}))
        draft.replace(self.path)


@dataclass(slots=True)
class Run:
    """One story in one folder. `play` begins it, or goes on where an earlier run was killed. What lies in the folder
    counts: a migrated database, which saves the time that migrating takes, or a config.toml that names one of a server.
    """

    story: Story
    folder: Path  # made if missing
    switch: KillSwitch = field(default_factory=KillSwitch)
    tolerance: timedelta = timedelta(0)  # how much later than expected things may happen
    now: datetime = field(init=False)  # true time
    collector_off_by: timedelta = timedelta(0)  # the clock of its machine
    collector: Collector | None = None
    problems: list[str] = field(default_factory=list)
    _devices: dict[str, SimulatedDevice] = field(init=False)
    _invariants: Invariants = field(init=False)
    _database: Database = field(init=False)  # looked into, as somebody else would
    _remembered_clock: SteadyClock = field(init=False)  # as the collector's was in what is past
    _lines_cut: set[str] = field(default_factory=set)
    _upkeep_at: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        story = self.story
        self.now = story.begins_at
        self._invariants = Invariants(
            story.interval, timedelta(seconds=story.settings.get("steady_after_seconds", 1800))
        )
        self._remembered_clock = SteadyClock(self._wall, self._seconds)
        self._devices = {
            name: SimulatedDevice(name, story.push_interval, spec.running, booted_at=story.begins_at)
            for name, spec in story.devices.items()
        }
        for name, device in self._devices.items():
            device.read(story.devices[name].reads, story.begins_at)
            reader = story.devices[name].read_by
            device.reader = None if reader is None else self._devices[reader]

    async def play(self) -> Outcome:
        """The whole story. What is not as expected stands in `problems`. Raises StoryError if it cannot be played."""
        progress = Progress.load(self._prepared())
        with self._commands_by_our_clock():
            if not progress.is_set_up:
                await self._set_up()
                progress.is_set_up = True
                progress.save()
            async with await Database.open(self._settings().database) as self._database, AsyncExitStack() as running:
                await self._unfold(progress, running)
                outcome = await self._outcome()
        if not self.story.made_up:
            self._blame(outcome.problems(self.story.expect, self.story.zone, self.story.interval, self.tolerance))
        return outcome

    async def _unfold(self, progress: Progress, running: AsyncExitStack) -> None:
        """Every step in order. What an earlier run did is only remembered: devices do it again, in their memory."""
        story, step = self.story, self.story.step
        waiting = story.entries()
        done = 0
        serves = True  # as the timeline has it
        somebody_ran_at = self.now
        for index in range((story.ends_at - story.begins_at) // step + 1):
            self.now = story.begins_at + index * step
            is_past = index < progress.steps
            is_instant = (self.now - clocks.EPOCH) % story.interval < step
            happens = bool(waiting) and waiting[0][0] <= self.now
            if any(device.is_running for device in self._devices.values()):
                somebody_ran_at = self.now
            is_due = any(device.is_due(self.now) for device in self._devices.values())
            is_watched = (
                self.now - story.begins_at
            ) % story.push_interval < step and self.now - somebody_ran_at < NIGHT
            if not (is_instant or happens or is_due or is_watched):
                continue  # nobody does anything: the clock may run faster
            self.switch.step(index)
            if not is_past and serves and self.collector is None:
                await self._start(running)
            while waiting and waiting[0][0] <= self.now:
                _, entry = waiting.pop(0)
                done += 1
                if entry.collector is not None:
                    serves = entry.collector is CollectorAct.START
                await self._happen(entry, running, is_done=done <= progress.entries)
                if done > progress.entries:
                    progress.entries = done
                    progress.save()
            self._tick(serves, is_past)
            if is_past:
                continue
            if self.collector is not None:
                await self._serve(self.collector, has_changed=is_instant or happens)
                if story.made_up and is_instant:
                    await self._look_after()
            progress.steps = index + 1
            self.switch.point()
            progress.save()
        self.switch.step(index + 1)

    async def _look_after(self) -> None:
        """What must hold whatever happened."""
        async with self._database.connect() as connection:
            self._blame(await self._invariants.broken(connection, self.now))

    async def _happen(self, entry: Entry, running: AsyncExitStack, *, is_done: bool) -> None:
        self._happen_outside(entry)
        if is_done:
            return
        if entry.collector is CollectorAct.STOP:
            with self.switch.held():
                await running.aclose()
        elif entry.collector is CollectorAct.START and self.collector is None:
            await self._start(running)
        said = "".join([await self._operate(command) for command in listed(entry.operator)])
        self._blame([f"{entry.operator}: says no {part!r}" for part in listed(entry.answers) if part not in said])
        if entry.edit is not None:
            with self.switch.held():
                self._edit(entry.edit)
            if self.collector is not None:
                await self.collector.use_rules(self._pack())
        if entry.expect is not None:
            outcome = await self._outcome()
            self._blame(outcome.problems(entry.expect, self.story.zone, self.story.interval, self.tolerance))

    def _happen_outside(self, entry: Entry) -> None:
        """What happens to devices, lines and clocks, which a killed collector does not undo."""
        for name in self.story.matching(entry):
            device = self._devices[name]
            if entry.do is not None:
                device.act(entry.do, self.now, parse_duration(entry.takes))
            if entry.reads is not None:
                device.read(entry.reads, self.now)
            if entry.clock is not None:
                device.clock_off_by = parse_duration(entry.clock)
        if entry.site is not None:
            (self._lines_cut.add if entry.line is Line.CUT else self._lines_cut.discard)(entry.site)
        if entry.collector_clock is not None:
            self.collector_off_by = parse_duration(entry.collector_clock)

    def _blame(self, problems: Sequence[str]) -> None:
        """Notes what is not as it should be, also for whoever looks into the folder after a kill."""
        told = [f"{self.now.astimezone(self.story.zone):%a %Y-%m-%d %H:%M}: {one}" for one in problems]
        self.problems += told
        with (self.folder / PROBLEMS).open("a") as file:
            file.writelines(f"{one}\n" for one in told)

    async def _outcome(self) -> Outcome:
        async with self._database.connect() as connection:
            return await Outcome.read(connection)

    # The devices

    def _tick(self, serves: bool, is_past: bool) -> None:
        """Devices sample. In what is past, what could be sent was acknowledged."""
        answer = PushAnswer(acked=0, now=clocks.to_milliseconds(self._remembered_clock()), config_etag="")
        for device in self._devices.values():
            device.tick(self.now)
            if is_past and serves and self._has_line(device):
                for _, records in device.pushes(self.now):
                    device.acknowledged(records, answer, self.now)

    def _has_line(self, device: SimulatedDevice) -> bool:
        spec = self.story.devices[device.id]
        return f"{spec.customer}/{spec.site}" not in self._lines_cut

    async def _deliver(self, collector: Collector, device: SimulatedDevice) -> None:
        for push, records in device.pushes(self.now):
            answer = await self._push(collector, device, push, records)
            device.acknowledged(records, answer, self.now)

    async def _push(
        self, collector: Collector, device: SimulatedDevice, push: Push, records: list[Record]
    ) -> PushAnswer:
        """One push through what `POST /v1/push` calls, and once more with the layouts that are asked for."""
        member = collector.fleet.directory.authenticate(secret_of(device.id))
        if member is None:
            raise StoryError(f"the collector does not know {device.id}")
        sender = collector.fleet.sender_of(member)
        for sent in (push, device.with_layouts(push, records)):
            body = sent.model_dump_json(exclude_none=False)
            answer = PushAnswer.model_validate(await collector.ingest.push(sender, Push.model_validate_json(body)))
            self.switch.point()
            if not answer.need_layouts:
                return answer
        raise StoryError(f"the collector keeps asking {device.id} for layouts that it was sent")

    # The collector

    def _wall(self) -> datetime:
        return self.now + self.collector_off_by

    def _seconds(self) -> float:
        return (self.now - clocks.EPOCH).total_seconds()

    async def _serve(self, collector: Collector, *, has_changed: bool) -> None:
        """What a serving collector does between two steps of the clock."""
        reachable = [device for device in self._devices.values() if self._has_line(device)]
        async with asyncio.TaskGroup() as pushing:
            for device in reachable:
                pushing.create_task(self._deliver(collector, device))
        for name, upkeep in collector.upkeep.items():
            if not has_changed and name != "presence":
                continue  # the desk looks as often as the rules do: most of a story's time would go into looking
            await self._repeat(name, timedelta(seconds=upkeep.every_seconds), upkeep.work)
        if not has_changed:
            return
        await collector.store.tick()
        await self._repeat("checkpoint", CHECKPOINT_EVERY, collector.store.checkpoint)
        await self._repeat("compact", COMPACT_EVERY, collector.history.compact)
        await collector.evaluate()
        self.switch.point()

    async def _repeat(self, name: str, every: timedelta, work: Callable[[], object]) -> None:
        if self.now - self._upkeep_at.setdefault(name, self.now) < every:
            return
        self._upkeep_at[name] = self.now
        outcome = work()
        if asyncio.iscoroutine(outcome):
            await outcome
        self.switch.point()

    async def _start(self, running: AsyncExitStack) -> None:
        self.collector = await running.enter_async_context(self._collector())

    @asynccontextmanager
    async def _collector(self) -> AsyncIterator[Collector]:
        async with Collector.opened(self._settings(), self._wall, self._pack(), self._seconds) as collector:
            self._upkeep_at = {}
            await collector.evaluate()
            yield collector
            self.collector = None

    def _settings(self) -> Settings:
        return load_settings(
            self.folder,
            None,
            rules_dir=self._rules,
            evaluation_interval_seconds=self.story.interval.total_seconds(),
            push_interval_seconds=self.story.push_interval.total_seconds(),
            **self.story.settings,
        )

    # Rules

    @property
    def _rules(self) -> Path:
        return self.folder / "rules"

    def _pack(self) -> RulePack:
        return load_rules(self._settings())

    def _write_rules(self) -> None:
        """The story's own rules, and those that it takes from the shipped packs, in their groups."""
        self._rules.mkdir()
        wanted = set(self.story.shipped_rules)
        for path in sorted(shipped_folder().glob("*.yaml")) if wanted else ():
            groups = _read(path).get("groups")
            kept = [
                {**group, "rules": rules}
                for group in groups or []
                if (rules := [rule for rule in group["rules"] if rule.get("alert") in wanted or "record" in rule])
                and any("alert" in rule for rule in rules)
            ]
            if kept:
                (self._rules / path.name).write_text(yaml.safe_dump({"groups": kept}))
                wanted -= {rule.get("alert") for group in kept for rule in group["rules"]}
        if wanted:
            raise StoryError(f"no shipped rule is called {', '.join(sorted(wanted))}")
        if self.story.rules:
            own = {"groups": [{"name": "story", "rules": self.story.rules}]}
            (self._rules / "story.yaml").write_text(yaml.safe_dump(own))
        if self.story.thresholds:
            thresholds = _read(shipped_folder() / "thresholds.yaml")
            thresholds["thresholds"].update(self.story.thresholds)
            (self._rules / "thresholds.yaml").write_text(yaml.safe_dump(thresholds))

    def _edit(self, change: RuleChange) -> None:
        changes = {
            "expr": change.expr,
            "for": change.hold,
            "keep_firing_for": change.keep_firing_for,
            "labels": change.labels,
        }
        found = 0
        for path in self._rules.glob("*.yaml"):
            content = _read(path)
            for group in content.get("groups", []):
                for rule in [rule for rule in group["rules"] if rule.get("alert") == change.rule]:
                    found += 1
                    rule.update({key: value for key, value in changes.items() if value is not None})
                    if change.removed:
                        group["rules"].remove(rule)
            draft = path.with_suffix(".draft")
            draft.write_text(yaml.safe_dump(content))
            draft.replace(path)
        if not found and not self.story.made_up:
            raise StoryError(f"no rule is called {change.rule!r}")

    # Operators

    def _prepared(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / PROGRESS

    async def _set_up(self) -> None:
        """Rules, customers, sites and devices, as they are when the story begins."""
        self._write_rules()
        if self.story.service_models:
            (self.folder / OWN_NAME).write_text(yaml.safe_dump(self.story.service_models))
        for customer, plan in self.story.customers.items():
            await self._operate(
                f'customers add {customer} --name {customer} --plan {plan} --monitoring-consent "{CONSENT}"'
            )
        async with await Database.open(self._settings().database) as database, database.begin() as connection:
            for name, spec in self.story.devices.items():
                await ensure_site(connection, customer=spec.customer, site=spec.site, actor="story", now=self.now)
                values = {
                    "id": name,
                    "customer": spec.customer,
                    "site": spec.site,
                    "kind": spec.kind,
                    "hostname": name,
                    "machine_id": name,
                    "instance": name,
                    "os": "",
                    "arch": "",
                    "agent_version": "",
                    "secret_hash": hash_secret(secret_of(name)) if spec.read_by is None else None,
                    "read_by": spec.read_by,
                    "address": None if spec.read_by is None else f"{name}.example",
                    "enrolled_at": self.now,
                }
                await connection.execute(insert(devices_table).values(values))
            await bump(connection, Topic.FLEET)

    async def _operate(self, line: str) -> str:
        """Runs a command of `quarkpulse-collector`, in a thread and with a connection of its own; what it says."""
        said = io.StringIO()

        def run() -> None:
            try:
                with redirect_stdout(said), redirect_stderr(said):
                    command_line.main([*shlex.split(line), "--data", str(self.folder)], standalone_mode=False)
            except (click.ClickException, SystemExit) as error:
                told = error.format_message() if isinstance(error, click.ClickException) else said.getvalue()
                raise StoryError(f"{line}: {told}") from error

        with self.switch.held(), suppress(StoryError) if self.story.made_up else nullcontext():
            await asyncio.to_thread(run)
        return said.getvalue()

    @contextmanager
    def _commands_by_our_clock(self) -> Iterator[None]:
        """The commands take the story's time for the time of day."""
        real = clocks.system_clock
        clocks.system_clock = self._wall
        modules = [module for name, module in list(sys.modules.items()) if name.startswith("collector.cli.")]
        named = [module for module in modules if hasattr(module, "system_clock")]
        for module in named:
            vars(module)["system_clock"] = self._wall
        try:
            yield
        finally:
            clocks.system_clock = real
            for module in named:
                vars(module)["system_clock"] = real


def _read(path: Path) -> dict[str, Any]:
    return dict(yaml.load(path.read_text(), Loader=LOADER))  # noqa: S506 - it is a safe one


def secret_of(device: str) -> str:
    return f"secret of {device}"
