"""The demo's story: the same fault at two customers, one on the monthly plan and one on break/fix.

Everything is real: the processes are those that a provider runs, the readings are this machine's, the fault is a
burner on every core. The story acts through the commands that an operator has, and watches the database as they do. The
rule looks at the burner's own share of the processors: how busy the machine is otherwise makes no difference.
"""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from collector.alerting.records import AlertState, Outcome, list_alerts
from collector.config import load_settings
from collector.db.database import Database
from collector.demo.timeline import Timeline
from collector.desk.shadows import ShadowTicket, list_shadows
from collector.desk.tickets import Ticket, list_tickets
from collector.fleet.devices import list_devices
from collector.fleet.presence import Presence
from protocol.errors import QuarkpulseError

AGENT_INTERVAL_SECONDS = 5
POLL_SECONDS = 0.25
LISTENING = "listening on"  # as `serve` says it
STOP_SECONDS = 10.0
# Each step of the story takes seconds; a slow machine gets more, but the demo never hangs.
STEP_SECONDS = 60.0
BURNER = "demo-burner"  # the name that agents see; the demo's rule has it, too
BURN = "import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"


class DemoError(QuarkpulseError):
    """The story did not go as it should; the message says which step and where to look."""


@dataclass(frozen=True, slots=True)
class Client:
    """A customer with one device in the demo."""

    customer: str
    name: str
    plan: str
    consent: str | None = None


MONTHLY = Client("acme", "Acme BV", "monthly")
BREAK_FIX = Client("bakkerij", "Bakkerij Jansen", "break_fix", consent="J. Jansen, 2026-01-05")
CLIENTS = (MONTHLY, BREAK_FIX)


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What the two customers were left with."""

    tickets: list[Ticket]
    shadows: list[ShadowTicket]


class Demo:
    """Runs the story in `folder`, which it fills; the caller removes it."""

    def __init__(self, folder: Path, rules: Path, timeline: Timeline) -> None:
        self.data = folder / "collector"
        self.url = ""  # once the collector listens
        self._folder = folder
        self._rules = rules
        self._timeline = timeline
        self._programs = Path(sys.executable).parent
        self._told: dict[tuple[object, ...], str] = {}
        self._database: Database | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """A collector and both agents, enrolled and pushing; on leaving they say goodbye."""
        async with AsyncExitStack() as processes:
            for client in CLIENTS:
                await self._add_customer(client)
            settings = load_settings(self.data)
            self._database = await processes.enter_async_context(await Database.open(settings.database))
            await processes.enter_async_context(self._process("collector", *self._serve_command()))
            with self._timeline.waiting_for("waiting for the collector"):
                await self._until(self._is_listening, "the collector to listen")
            self._timeline.say(f"collector listens on {self.url}")
            for client in CLIENTS:
                await self._enrol(client)
                state = str(self._folder / client.customer)
                command = ("quarkpulse-agent", "run", "--state", state, "--interval", f"{AGENT_INTERVAL_SECONDS}s")
                await processes.enter_async_context(self._process(f"agent-{client.customer}", *command))
            with self._timeline.waiting_for("waiting for both agents' first readings"):
                await self._until(self._both_report, "both agents to report")
            yield

    async def play(self) -> Aftermath:
        """Cause the incident, watch it through to its end. Raises DemoError where the outcome is not the promised."""
        timeline = self._timeline
        cores = os.cpu_count() or 1
        timeline.say(f"the incident: a burner on each of {cores} cores", style="red")
        async with self._burning(cores):
            with timeline.waiting_for("the rule goes pending, holds for its 'for', and fires"):
                await self._until(self._has_decided, "a ticket and a shadow ticket", step_seconds=2 * STEP_SECONDS)
        timeline.say("the burners stop", style="green")
        with timeline.waiting_for("the alerts resolve, and with them what nobody touched"):
            await self._until(self._has_healed, "the ticket to resolve itself", step_seconds=2 * STEP_SECONDS)
        aftermath = await self._tell_tickets()
        check(aftermath)
        return aftermath

    def _serve_command(self) -> Sequence[str]:
        return (
            "quarkpulse-collector", "serve",
            "--data", str(self.data), "--listen", "127.0.0.1:0", "--rules", str(self._rules),
        )  # fmt: skip

    async def _add_customer(self, client: Client) -> None:
        consent = ("--monitoring-consent", client.consent) if client.consent else ()
        await self._collector(
            "customers", "add", client.customer, "--name", client.name, "--plan", client.plan, *consent
        )
        interval = f"{AGENT_INTERVAL_SECONDS}s"  # else five minutes
        await self._collector("agents", "set", "interval.processes", interval, "--customer", client.customer)
        self._timeline.say(f"customer added, plan {client.plan}", who=client.name)

    async def _enrol(self, client: Client) -> None:
        token = await self._collector(
            "tokens", "create", "--customer", client.customer, "--site", "hq", "--kind", "server", "--uses", "1"
        )
        state = str(self._folder / client.customer)
        await self._run(
            "quarkpulse-agent", "enroll", "--collector", self.url, "--token", token.strip(), "--state", state
        )
        self._timeline.say("agent enrolled", who=client.name)

    async def _is_listening(self) -> bool:
        """Whether the collector has said where it listens: the system chose its port."""
        said = re.search(rf"{LISTENING} (\S+)", (self._folder / "collector.log").read_text())
        self.url = said[1] if said else ""
        return bool(self.url)

    async def _both_report(self) -> bool:
        async with self._opened().connect() as connection:
            devices = await list_devices(connection)
        online = [device for device in devices if device.presence == Presence.ONLINE]
        for device in online:
            self._tell(device.customer, ("device", device.id), f"device {device.id} reports")
        return len(online) == len(CLIENTS)

    async def _has_decided(self) -> bool:
        await self._tell_alerts()
        aftermath = await self._tell_tickets()
        return bool(aftermath.tickets) and bool(aftermath.shadows)

    async def _has_healed(self) -> bool:
        alerts_over = await self._tell_alerts()
        aftermath = await self._tell_tickets()
        tickets_over = all(ticket.resolved_at for ticket in aftermath.tickets)
        return alerts_over and tickets_over and all(shadow.resolved_at for shadow in aftermath.shadows)

    async def _tell_alerts(self) -> bool:
        """Whether all that fired is over."""
        async with self._opened().connect() as connection:
            alerts = await list_alerts(connection, resolved_since=None)
        for alert in reversed(alerts):
            self._tell(alert["customer"], ("alert", alert["id"]), f"alert {alert['rule']} is {alert['state']}")
        fired = [alert for alert in alerts if alert["outcome"] != Outcome.NONE]
        return all(alert["state"] == AlertState.RESOLVED for alert in fired)

    async def _tell_tickets(self) -> Aftermath:
        async with self._opened().connect() as connection:
            aftermath = Aftermath(await list_tickets(connection), await list_shadows(connection))
        for ticket in aftermath.tickets:
            text = f"ticket {ticket.number} is {ticket.status}, {ticket.priority}: {ticket.title}"
            self._tell(ticket.customer, ("ticket", ticket.number), text, style="bold yellow")
        for shadow in aftermath.shadows:
            ended = "it is over" if shadow.resolved_at else "no ticket, it is only recorded"
            self._tell(
                shadow.customer, ("shadow", shadow.id), f"shadow ticket, {ended}: {shadow.title}", style="magenta"
            )
        return aftermath

    def _tell(self, customer: object, subject: tuple[object, ...], text: str, *, style: str = "") -> None:
        """Say it once, and again when it has changed."""
        if self._told.get(subject) != text:
            self._told[subject] = text
            name = next((client.name for client in CLIENTS if client.customer == customer), "")
            self._timeline.say(text, who=name, style=style)

    def _opened(self) -> Database:
        assert self._database is not None  # noqa: S101 - as `running` opened it
        return self._database

    async def _collector(self, *arguments: str) -> str:
        return await self._run("quarkpulse-collector", *arguments, "--data", str(self.data))

    async def _run(self, program: str, *arguments: str) -> str:
        """Run one command to its end; what it printed. Raises DemoError with what it said if it failed."""
        process = await asyncio.create_subprocess_exec(
            self._programs / program, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
        )
        printed, complaint = await process.communicate()
        if process.returncode:
            raise DemoError(f"{program} {' '.join(arguments[:2])} failed: {complaint.decode().strip()}")
        return printed.decode()

    @asynccontextmanager
    async def _process(self, name: str, program: str, *arguments: str) -> AsyncIterator[Process]:
        """A process with its log in the demo's folder; ended on leaving, by force if it does not listen."""
        with (self._folder / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                self._programs / program, *arguments, stdin=DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield process
        finally:
            await end(process)

    @asynccontextmanager
    async def _burning(self, cores: int) -> AsyncIterator[None]:
        program = self._folder / BURNER
        program.symlink_to(sys.executable)  # a process has the name by which its program was called
        code = BURN.format(seconds=4 * STEP_SECONDS)
        async with AsyncExitStack() as burners:
            for _ in range(cores):
                process = await asyncio.create_subprocess_exec(program, "-c", code, start_new_session=True)
                burners.push_async_callback(end, process)
            yield

    async def _until(
        self, holds: Callable[[], Awaitable[bool]], what: str, *, step_seconds: float = STEP_SECONDS
    ) -> None:
        try:
            async with asyncio.timeout(step_seconds):
                while not await holds():  # noqa: ASYNC110 - another process's database rings no bell
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise DemoError(f"waited {step_seconds:.0f} s in vain for {what}; the logs are in {self._folder}") from None


def check(aftermath: Aftermath) -> None:
    """One ticket for the monthly customer, none for the other, whose alert left one shadow ticket instead."""
    owners = [ticket.customer for ticket in aftermath.tickets]
    if owners != [MONTHLY.customer]:
        raise DemoError(f"expected one ticket, for {MONTHLY.name}; there are tickets for: {owners or 'nobody'}")
    shadows = [shadow.customer for shadow in aftermath.shadows]
    if shadows != [BREAK_FIX.customer]:
        raise DemoError(f"expected one shadow ticket, for {BREAK_FIX.name}; there are some for: {shadows or 'nobody'}")


async def end(process: Process) -> None:
    """Ask a process to stop, and make it if it does not."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
