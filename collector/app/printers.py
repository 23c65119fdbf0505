"""What `serve` does for printers: takes in what agents find and tell, sees that each is read, and looks ahead."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.app.upkeep import Upkeep
from collector.clock import Clock, to_milliseconds
from collector.db.database import Database
from collector.fleet.directory import Member
from collector.fleet.printers.foresight import FORESIGHT_SECONDS, Foresight
from collector.fleet.printers.found import take_found
from collector.fleet.printers.readers import Takeover
from collector.fleet.printers.seen import take_seen, take_told
from collector.fleet.watch import PresenceWatch
from collector.incidents import orders
from collector.ingest.native import Sender
from collector.series.labels import NAME
from collector.series.read import Matcher, MatchOp
from collector.series.store import SampleStore
from protocol.models import Event

TAKEOVER_SECONDS = 5.0
ORDERS_SECONDS = 600.0  # how old the number of days in an order may be
REACHABLE = "printer_reachable"


class Printers:
    """`after_change` is awaited when a printer was given another reader, so that its configuration changes at once."""

    def __init__(
        self,
        store: SampleStore,
        database: Database,
        watch: PresenceWatch,
        clock: Clock,
        lookback: timedelta,
        *,
        members: Callable[[], Mapping[str, Member]],
        after_change: Callable[[], Awaitable[None]],
    ) -> None:
        self._reader = store.reader
        self._database = database
        self._clock = clock
        self._lookback = lookback
        self._after_change = after_change
        self._takeover = Takeover(database, members, watch.reports, clock)
        self._foresight = Foresight(store, store.reader, database, members, clock, lookback)

    @property
    def upkeep(self) -> Mapping[str, Upkeep]:
        return {
            "printers' readers": Upkeep(TAKEOVER_SECONDS, self._see_to_readers),
            "foresight": Upkeep(FORESIGHT_SECONDS, self._foresight.turn),
            "orders": Upkeep(ORDERS_SECONDS, self._refresh_orders),
        }

    async def take(self, connection: AsyncConnection, sender: Sender, events: Sequence[Event], now: datetime) -> None:
        """What a push told of printers, in the transaction that keeps its events."""
        await take_found(connection, sender.target, events, self._answers, now)
        await take_seen(connection, sender.target, sender.printers.keys(), events, now)
        await take_told(connection, sender.printers.keys(), events, now)

    async def _see_to_readers(self) -> None:
        if await self._takeover.turn():
            await self._after_change()

    async def _refresh_orders(self) -> None:
        async with self._database.begin() as connection:
            await orders.refresh(connection, self._clock())

    def _answers(self, printer: str) -> bool:
        """Whether it answered when it was last asked."""
        at, lookback = to_milliseconds(self._clock()), self._lookback // timedelta(milliseconds=1)
        matchers = (Matcher(NAME, MatchOp.EQUAL, REACHABLE), Matcher("device_id", MatchOp.EQUAL, printer))
        latest = self._reader.latest(self._reader.select(matchers, at - lookback, at), at, lookback)
        return bool((latest.present & (latest.values == 1)).any())
