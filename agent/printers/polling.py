"""One printer over time: what is asked of it when, so that it is neither woken nor hurried."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from agent.printers import mibs
from agent.printers.collecting import (
    ALL_TABLES,
    Asked,
    collect_identity,
    collect_state,
    collect_tables,
    state_objects,
)
from agent.printers.decoding import decode, decode_state, find_device, find_marker, has_count, is_on_stand_by
from agent.printers.exchange import IDENTITY_INTERVAL_SECONDS, TABLES_INTERVAL_SECONDS
from agent.printers.ipp_codec import Attributes
from agent.printers.ipp_decoding import decode_attributes
from agent.printers.merge import merge
from agent.printers.own_objects import total_objects
from agent.printers.reading import Alert, Reading
from agent.printers.rows import Rows
from agent.printers.vendors import maker_of
from protocol.errors import PermanentError, QuarkpulseError

# Read at once when a printer says that something happened: what is low or empty shows there.
TABLES_OF_AN_EVENT = frozenset({"alerts", "supplies", "trays"})
# What decoding a table needs to know beside its own rows.
CONTEXT = (
    mibs.CHARACTER_SET,
    mibs.GENERAL_LOCALIZATION,
    mibs.SYS_OBJECT_ID,
    mibs.HR_PRINTER_ERRORS,
    mibs.HR_PRINTER_STATUS,
)
EVENT_COUNTERS = (mibs.GENERAL_CRITICAL_EVENTS, mibs.GENERAL_ALL_EVENTS, mibs.GENERAL_CONFIG_CHANGES)
IDENTITY = ("model", "serial", "firmware", "name", "location")  # what a printer is
NEVER = -math.inf


class Client(Asked, Protocol):
    """Rows that it asks for at once become fewer where a device cannot take them, and stay so."""

    repetitions: int
    asked_singly: set[str]


Connect = Callable[[int | None], Awaitable[Client]]  # with what the last client ended with
AskIpp = Callable[[], Awaitable[Attributes]]


class SnmpSide:
    """What SNMP tells of one printer."""

    def __init__(self, connect: Connect) -> None:
        self.reading: Reading | None = None
        self.state_at = NEVER
        self.tables_at = NEVER  # as of when its tables are known
        self.trouble = ""
        self.happened: list[Alert] = []  # unary alerts, for the caller to take away
        self._connect = connect
        self._repetitions: int | None = None
        self._identity_at = NEVER
        self._all_tables_at = NEVER
        self._context = Rows()
        self._seen_alerts: frozenset[Alert] | None = None
        self._signature: object = None
        self._objects: list[str] = []  # the question for its state
        self._missing: frozenset[str] = frozenset()  # of it: objects that cost more to ask for than they bring
        self._answered: set[str] = set()  # columns
        self._dead: set[str] = set()  # columns: silent while others were answered, and never anything else
        self._pages_read: int | None = None  # what it had printed when its tables were read

    async def poll(self, now: float) -> None:
        """Raises NoAnswer, BadAnswer, AccessRefused and NotPossible."""
        is_known = self.reading is not None
        if now - self._identity_at >= IDENTITY_INTERVAL_SECONDS and not (self.reading and self.reading.is_asleep):
            self._repetitions = None  # once a day it may show that it can take more again
            is_known = False
        client = await self._connect(self._repetitions)
        try:
            if not is_known:
                await self._identify(client, now)
            await self._read_state(client, now)
        finally:
            self._repetitions = client.repetitions

    async def _identify(self, client: Client, now: float) -> None:
        rows, trouble = await collect_identity(client)
        found, known = decode(rows), self.reading or Reading()
        kept = {name: getattr(known, name) for name in ALL_TABLES}
        if trouble is not None:
            kept |= {name: getattr(known, name) for name in IDENTITY if getattr(found, name) is None}
        self.reading = replace(found, **kept)
        self._context = rows.only(CONTEXT)
        self._device = find_device(rows)
        self._maker = maker_of(rows.first(mibs.SYS_OBJECT_ID))
        own = [] if has_count(rows) else total_objects(self._maker)
        self._objects = [*state_objects(self._device, find_marker(rows)), *own]
        self._missing = frozenset()
        self._answered.clear()
        self._dead.clear()
        # What was not told is asked again with the tables.
        self._identity_at = now if trouble is None else now - IDENTITY_INTERVAL_SECONDS + TABLES_INTERVAL_SECONDS

    async def _read_state(self, client: Client, now: float) -> None:
        rows = await self._ask_state(client)
        reading = self.reading = decode_state(rows, self._device, self._maker, self.reading or Reading())
        self.state_at = now
        counters = tuple(rows.first(column) for column in EVENT_COUNTERS)
        signature = (counters, reading.error_states)
        if self._rests(rows, reading, is_quiet=signature == self._signature):
            self.tables_at = now  # asleep, it uses nothing up
            return
        if now - self._all_tables_at >= TABLES_INTERVAL_SECONDS:
            names = ALL_TABLES
        elif signature != self._signature:
            names = TABLES_OF_AN_EVENT
        else:
            return
        await self._read_tables(client, names, now)
        if not self.trouble:
            self._signature = signature

    async def _ask_state(self, client: Client) -> Rows:
        """Version 1 answers nothing if one object is missing, so what is missing is asked for once an hour only."""
        asked = [oid for oid in self._objects if oid not in self._missing]
        rows, told = await collect_state(client, asked)
        if not told and self._missing:  # now it lacks another, or has them again
            rows, told = await collect_state(client, self._objects)
            self._missing = frozenset()
        if told:
            self._missing |= client.asked_singly - told
        return rows

    def _rests(self, rows: Rows, reading: Reading, *, is_quiet: bool) -> bool:
        """Whether it sleeps, and did nothing since its tables were read. What happened as it fell asleep is read when
        it wakes; but one that sleeps by its alerts alone tells only there that it woke."""
        if not reading.is_asleep or self.tables_at == NEVER or reading.pages != self._pages_read:
            return False
        is_sure = reading.pages is not None and is_on_stand_by(rows, self._device, reading.error_states)
        return is_quiet or is_sure

    async def _read_tables(self, client: Client, names: frozenset[str], now: float) -> None:
        collected = await collect_tables(client, self._maker, names, self._dead)
        self._answered |= set(collected.answered)
        self._dead = (self._dead | set(collected.silent)) - self._answered
        self._missing = frozenset()
        self.trouble = str(collected.trouble or "") if names - collected.complete else ""
        collected.rows.update(self._context)
        found, known = decode(collected.rows), self.reading or Reading()
        # Half a table would be other series under other names: the last whole one stands.
        self.reading = replace(known, **{name: getattr(found, name) for name in names & collected.complete})
        if "supplies" in collected.complete or self.tables_at == NEVER:
            self.tables_at, self._pages_read = now, known.pages
        if collected.complete >= ALL_TABLES:
            self._all_tables_at = now
        if "alerts" in collected.complete:
            self._note_unary(found.alerts)

    def _note_unary(self, alerts: tuple[Alert, ...]) -> None:
        """Their rows may stay for ever: one happens when it comes, and those that were there at first are history."""
        unary = frozenset(alert for alert in alerts if alert.severity == mibs.UNARY_SEVERITY)
        if self._seen_alerts is not None:
            self.happened += [alert for alert in alerts if alert in unary - self._seen_alerts]
        self._seen_alerts = unary


class PrinterPoll:
    """One printer, by whichever ways it is to be asked."""

    def __init__(self, connect: Connect | None, ask_ipp: AskIpp | None) -> None:
        self.is_reachable = False
        self.state_at = NEVER
        self.counted_at = NEVER  # as of when its counters are known: only one of the ways counts
        self.tables_at = NEVER
        self.reading = Reading()
        self.trouble = ""
        self.refusal = ""  # the part of it that will not pass by itself
        self._snmp = None if connect is None else SnmpSide(connect)
        self._ask_ipp = ask_ipp
        self._ipp_reading: Reading | None = None
        self._ipp_at = NEVER
        self._ipp_silent_at = NEVER
        self._ipp_beside: tuple[str, ...] | None = None  # what SNMP called wrong when IPP was last asked

    async def poll(self, now: float) -> None:
        """Read what is due. What goes wrong is in `trouble`, not raised."""
        troubles: list[str] = []
        refusals: list[str] = []
        by_snmp = by_ipp = False

        def note(way: str, error: QuarkpulseError) -> None:
            (refusals if isinstance(error, PermanentError) else troubles).append(f"{way}: {error}")

        if self._snmp is not None:
            try:
                await self._snmp.poll(now)
                by_snmp = True
                troubles += [self._snmp.trouble] if self._snmp.trouble else []
            except QuarkpulseError as error:
                note("SNMP", error)
        if self._ask_ipp is not None and self._is_ipp_due(now, by_snmp=by_snmp):
            try:
                self._ipp_reading = decode_attributes(await self._ask_ipp())
                self._ipp_at, self._ipp_beside = now, self._snmp_errors
                by_ipp = True
            except QuarkpulseError as error:
                self._ipp_silent_at = now
                note("IPP", error)
        self.is_reachable = by_snmp or by_ipp
        self.refusal = "; ".join(refusals)
        self.trouble = "; ".join(refusals + troubles)
        if self.is_reachable:
            self._combine(now, by_snmp=by_snmp, by_ipp=by_ipp)

    @property
    def _snmp_errors(self) -> tuple[str, ...] | None:
        reading = None if self._snmp is None else self._snmp.reading
        return None if reading is None else reading.error_states

    def _is_ipp_due(self, now: float, *, by_snmp: bool) -> bool:
        """Where SNMP answers, IPP only adds, and a connection wakes some printers that a datagram does not. But what is
        wrong is asked for every time where SNMP does not tell it."""
        if not by_snmp:
            return True
        if now - max(self._ipp_at, self._ipp_silent_at) >= TABLES_INTERVAL_SECONDS:
            return True
        if self._ipp_silent_at > self._ipp_at:  # where it is off, a connection costs seconds
            return False
        if self._snmp is None or self._snmp.reading is None or self._snmp.reading.is_asleep:
            return False
        return self._snmp_errors is None or self._snmp_errors != self._ipp_beside

    def give_up(self, trouble: str) -> None:
        """What was begun and did not end."""
        self.is_reachable = False
        self.trouble = trouble

    def take_happened(self) -> list[Alert]:
        if self._snmp is None:
            return []
        taken, self._snmp.happened = self._snmp.happened, []
        return taken

    def _combine(self, now: float, *, by_snmp: bool, by_ipp: bool) -> None:
        self.state_at = now
        if self._snmp is None:
            self.reading, self.counted_at, self.tables_at = self._ipp_reading or Reading(), now, now
            return
        self.counted_at = self._snmp.state_at
        ipp = self._ipp_reading
        if ipp is not None:
            # Two counters of one thing never agree, and a series must not jump from one to the other.
            ipp = replace(ipp, pages=None, pages_unit=None, uptime_seconds=None)
        if ipp is not None and not by_ipp:
            # What it called wrong stands until it is asked again, an hour at most; whether it slept does not.
            awake = tuple(alert for alert in ipp.alerts if alert.code != mibs.ASLEEP)
            ipp = replace(ipp, alerts=awake, is_asleep=False)
        self.reading = merge(self._snmp.reading, ipp)
        self.tables_at = self._snmp.tables_at if self._snmp.reading is not None else self._ipp_at
        if not by_snmp and ipp is not None:
            self.reading = replace(
                self.reading,
                status=ipp.status,
                is_asleep=ipp.is_asleep,
                error_states=ipp.error_states,
                queued_jobs=ipp.queued_jobs,
            )
