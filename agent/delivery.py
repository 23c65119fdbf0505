"""Brings the spool to the collector: what is live first, the gap behind it, nothing lost and nothing stuck.

`Delivery.step` does one push and says how long to wait for the next; the sender thread is a loop around it.
"""

import json
import logging
import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

from agent.answers import (
    PushReply,
    Verdict,
    explain,
    is_collectors_config,
    is_problem,
    judge,
    parse_push_reply,
)
from agent.clock import AgentClock
from agent.config import ConfigError
from agent.jitter import uniform
from agent.spool import Record
from agent.uplink import Answer, UplinkError
from protocol.wire import CONFIG_PATH, MAX_EVENTS_PER_PUSH, MAX_LAYOUTS_PER_PUSH, PUSH_PATH, Event, Frame, Layout, Push

logger = logging.getLogger(__name__)

EVENT_BYTES = 500
UNREADABLE_SECONDS = 60.0  # until a record is tried again that could not be read
MAX_CRASHES_IN_ROW = 10  # a quarter of an hour of trying; then a new process may fare better
LAYOUT_BYTES = 100  # of a series in a layout, in JSON; in memory it is several times that


class Policy(NamedTuple):
    """How hard to try. Seconds and counts; tests shorten the waits."""

    backoff_base_seconds: float = 1.0
    backoff_cap_seconds: float = 300.0
    retry_after_cap_seconds: float = 3600.0  # whoever asks for more gets asked again after an hour
    unauthorized_seconds: tuple[float, float] = (300.0, 900.0)
    backlog_pause_seconds: tuple[float, float] = (0.2, 1.0)  # a fleet must not fill its gaps in one burst
    backlog_rest: tuple[float, float] = (1.0, 3.0)  # and as many times what the answer took: a slow one is busy
    batch_records: int = 100
    batch_bytes: int = 32 << 10  # of frames, before compression; taken apart in memory it is several times that
    last_batch_bytes: int = 64 << 10  # likewise, of the push before a stop: a slow line has seconds for it


class Attempt(NamedTuple):
    """The last push, for people."""

    at: float  # Unix seconds by this machine's own clock
    answer: str
    is_acked: bool


class Transport(Protocol):
    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer: ...
    def post(self, path: str, content: bytes) -> Answer: ...


class Backlog(Protocol):
    """What waits to be sent: a Spool."""

    id: str

    def __len__(self) -> int: ...
    def newest(self) -> int | None: ...
    def oldest(self, records: int, after: int = 0) -> list[int]: ...
    def latest(self, records: int) -> list[int]: ...
    def take_seq(self) -> int: ...
    def read(self, seq: int) -> Record | None: ...
    def remove(self, seq: int) -> None: ...
    def set_aside(self, seq: int) -> None: ...


class Delivery:
    """One thread calls `step`; the counters may be read from anywhere."""

    def __init__(
        self,
        transport: Transport,
        spool: Backlog,
        clock: AgentClock,
        *,
        boot_id: str,
        config_etag: str = "",
        on_config: Callable[[str, dict[str, object]], None] = lambda *_: None,
        policy: Policy = Policy(),  # noqa: B008 - a tuple of constants
        uniform: Callable[[float, float], float] = uniform,
    ) -> None:
        """`on_config` takes a new configuration with its ETag; it raises ConfigError to keep the old one."""
        self.push_failures = 0
        self.frames_refused = 0
        self.ended_reason: str | None = None
        self.last_attempt: Attempt | None = None
        self.acked_at: float | None = None  # Unix seconds by this machine's own clock
        self._transport = transport
        self._spool = spool
        self._clock = clock
        self._boot_id = boot_id
        self._config_etag = config_etag
        self._wanted_etag = config_etag
        self._on_config = on_config
        self._policy = policy
        self._uniform = uniform
        self._known_layouts: set[str] = set()
        self._live_done = 0  # the newest record that went ahead of the others
        self._passed = 0  # the backlog goes on behind this record: what is left before it could not be read
        self._failures_in_row = 0
        self._crashes_in_row = 0
        self._retry_at = 0.0  # boot-time clock; nothing is sent before
        self._backlog_at = 0.0  # likewise, what is not live
        self._round_trip_seconds = 0.0  # of the last answer
        self._trouble = ""

    def step(self) -> float | None:
        """One push, or nothing if it is not yet time. Seconds until the next makes sense; None: when a record comes.

        A bug that one answer brings out is as good as no answer; it is raised once it comes again and again."""
        try:
            return self._step()
        except Exception:
            self._crashes_in_row += 1
            if self._crashes_in_row >= MAX_CRASHES_IN_ROW:
                raise
            logger.exception("push crashed, kept: spooled_records=%d", len(self._spool))
        self.push_failures += 1
        self._wait(Verdict.TRANSIENT, None)
        return self._seconds_until_retry()

    def _step(self) -> float | None:
        newest = self._spool.newest()
        if self.ended_reason is not None or newest is None:
            return None
        is_live = newest > self._live_done
        not_before = self._retry_at if is_live else max(self._retry_at, self._backlog_at)
        wait_seconds = not_before - self._clock.boot()
        if wait_seconds > 0:
            return wait_seconds
        seqs = [newest] if is_live else self._spool.oldest(self._policy.batch_records, after=self._passed)
        batch, unread = self._load(seqs, self._policy.batch_bytes)
        if not self._deliver(batch):
            return self._seconds_until_retry()
        if is_live:
            self._live_done = newest
        elif unread:
            self._passed = unread[-1]
        if self._wanted_etag != self._config_etag:
            self._fetch_config()
        if len(self._spool) == 0:
            return None
        now = self._clock.boot()
        if not is_live:  # a live frame does not put the next part of the backlog off
            rest_seconds = self._uniform(*self._policy.backlog_rest) * self._round_trip_seconds
            self._backlog_at = now + max(self._uniform(*self._policy.backlog_pause_seconds), rest_seconds)
            if not self._spool.oldest(1, after=self._passed):
                self._passed, self._backlog_at = 0, max(self._backlog_at, now + UNREADABLE_SECONDS)
        return max(0.0, self._backlog_at - now)

    def step_last(self) -> None:
        """One push of the newest record, with what fits of those before it: the agent is about to stop, whatever went
        wrong before. The collector may refuse them together; then the newest goes alone."""
        self._retry_at = 0.0
        newest_first = self._spool.latest(self._policy.batch_records)
        if self.ended_reason is not None or not newest_first:
            return
        batch, _ = self._load(newest_first, self._policy.last_batch_bytes)
        batch.reverse()
        if self._deliver(batch, is_last=True):
            self._live_done = newest_first[0]

    def _seconds_until_retry(self) -> float | None:
        return None if self.ended_reason is not None else max(0.0, self._retry_at - self._clock.boot())

    def _load(self, seqs: list[int], batch_bytes: int) -> tuple[list[tuple[int, Record]], list[int]]:
        """Records to send together: readable ones, until a push would grow too large, at least one; and the numbers of
        those that could not be read now."""
        batch: list[tuple[int, Record]] = []
        unread: list[int] = []
        shared: dict[str, Layout] = {}  # a hundred copies of one layout would take 5 MiB
        size = layouts = events = inventories = 0
        for seq in seqs:
            try:
                record = self._spool.read(seq)
            except OSError:  # the spool has said so; what can be read goes on without it
                unread.append(seq)
                continue
            if record is None:
                continue
            size += EVENT_BYTES * len(record["events"])
            size += sum(LAYOUT_BYTES * len(one["series"]) for one in record["layouts"] if one["id"] not in shared)
            record["layouts"] = [shared.setdefault(layout["id"], layout) for layout in record["layouts"]]
            size += sum(12 * len(frame.get("v", ())) for frame in record["frames"])  # a value takes about 12 characters
            layouts += len(record["layouts"])
            events += len(record["events"])
            inventories += "inventory" in record  # a push holds one, and each has its place in the history
            too_large = (
                size > batch_bytes or layouts > MAX_LAYOUTS_PER_PUSH or events > MAX_EVENTS_PER_PUSH or inventories > 1
            )
            if batch and too_large:
                break
            batch.append((seq, record))
        return batch, unread

    def _deliver(self, batch: list[tuple[int, Record]], *, is_last: bool = False) -> bool:
        """Push records; False if it has to be tried later. What the collector will never take is found by halving, or
        in the last push left to the next start, but for the newest record."""
        if not batch:
            return True
        verdict, answer = self._push(batch)
        if verdict is Verdict.ACKED:
            for seq, _ in batch:
                self._spool.remove(seq)
            return True
        self.push_failures += 1
        if verdict is Verdict.TOO_LARGE and len(batch) == 1 and not (answer and is_problem(answer.content)):
            verdict = Verdict.TRANSIENT  # a proxy's limit, which is mended there: no reason to give a record up
        if verdict in (Verdict.TOO_LARGE, Verdict.REJECTED):
            if len(batch) > 1:
                if is_last:
                    return self._deliver(batch[-1:])
                middle = len(batch) // 2
                return self._deliver(batch[:middle]) and self._deliver(batch[middle:])
            self._spool.set_aside(batch[0][0])
            logger.error("record set aside: seq=%d reason=%r", batch[0][0], explain(answer) if answer else "")
            return True
        self._wait(verdict, answer)
        return False

    def _push(self, batch: list[tuple[int, Record]]) -> tuple[Verdict, Answer | None]:
        """Send once, and once more with the layouts that the collector asks for."""
        seq = self._spool.take_seq()
        layouts = {layout["id"] for _, record in batch for layout in record["layouts"]}
        for _ in range(2):
            try:
                body = encode_push(self._make_push(batch, seq))
            except (ValueError, RecursionError) as error:
                self._say(f"a record cannot be sent as JSON ({error})")
                return Verdict.REJECTED, None
            try:
                answer = self._transport.post(PUSH_PATH, body)
            except UplinkError as error:
                self._say(str(error))
                self._remember(str(error))
                return Verdict.TRANSIENT, None
            verdict = judge(answer, seq, layouts)
            if verdict in (Verdict.ACKED, Verdict.NEED_LAYOUTS) and answer.content is not None:
                reply = parse_push_reply(answer.content)
                self._clock.observe(reply.now_seconds, answer.round_trip_seconds)
                self._round_trip_seconds = answer.round_trip_seconds
                self._wanted_etag = reply.config_etag or self._wanted_etag
                if verdict is Verdict.ACKED:
                    self._remember("acknowledged", is_acked=True)
                    self._take_note(layouts, reply)
                    return verdict, answer
                self._known_layouts -= reply.need_layouts
            else:
                self._say(explain(answer))
                self._remember(explain(answer))
                return verdict, answer
        self._say("the collector keeps asking for layouts that it was sent")
        return Verdict.TRANSIENT, answer

    def _remember(self, answer: str, *, is_acked: bool = False) -> None:
        at = round(self._clock.wall(), 3)
        self.last_attempt = Attempt(at, answer, is_acked)
        if is_acked:
            self.acked_at = at

    def _make_push(self, batch: list[tuple[int, Record]], seq: int) -> Push:
        layouts: dict[str, Layout] = {}
        frames: list[Frame] = []
        events: list[Event] = []
        inventory: dict[str, object] | None = None
        for _, record in batch:
            frames += record["frames"]
            events += record["events"]
            inventory = record.get("inventory", inventory)
            for layout in record["layouts"]:
                if layout["id"] not in self._known_layouts:
                    layouts[layout["id"]] = layout
        push = Push(
            sent=self._clock.now_milliseconds(),
            boot=self._boot_id,
            spool=self._spool.id,
            seq=seq,
            layouts=list(layouts.values()),
            frames=frames,
            events=events,
        )
        if inventory is not None:
            push["inventory"] = inventory
        return push

    def _take_note(self, layouts: set[str], reply: PushReply) -> None:
        if self._trouble:
            logger.warning("push works again: after_failures=%d", self._failures_in_row)
        self._trouble = ""
        self._failures_in_row = self._crashes_in_row = 0
        if len(self._known_layouts) > MAX_LAYOUTS_PER_PUSH:
            self._known_layouts.clear()
        self._known_layouts |= layouts
        if reply.refused:
            self.frames_refused += len(reply.refused)
            reason = next(iter(reply.refused.values()))
            logger.warning("frames refused: count=%d first_reason=%r", len(reply.refused), reason[:200])

    def _wait(self, verdict: Verdict, answer: Answer | None) -> None:
        """Decide when to try again, or never."""
        policy = self._policy
        if verdict is Verdict.ENDED:
            self.ended_reason = explain(answer) if answer else "410"
            return
        if verdict is Verdict.UNAUTHORIZED:
            delay_seconds = self._uniform(*policy.unauthorized_seconds)
        else:
            # Full jitter: a fleet that lost its collector at one moment must not come back at one moment.
            exponent = min(self._failures_in_row, 30)
            delay_seconds = self._uniform(
                0.0, min(policy.backoff_cap_seconds, policy.backoff_base_seconds * 2**exponent)
            )
        if answer is not None and answer.retry_after_seconds is not None:
            is_ours = is_problem(answer.content)  # a login page may not keep the agent away for an hour
            cap_seconds = policy.retry_after_cap_seconds if is_ours else policy.backoff_cap_seconds
            delay_seconds = max(delay_seconds, min(answer.retry_after_seconds, cap_seconds))
        self._failures_in_row += 1
        self._retry_at = self._clock.boot() + delay_seconds

    def _say(self, trouble: str) -> None:
        """Log a failure when it begins or becomes another, not each time."""
        if trouble != self._trouble:
            self._trouble = trouble
            logger.warning("push failed, kept: spooled_records=%d reason=%r", len(self._spool), trouble)

    def _fetch_config(self) -> None:
        """Ask once for each ETag that an answer named; a failure waits for the next push."""
        try:
            answer = self._transport.get(
                CONFIG_PATH, {"If-None-Match": f'"{self._config_etag}"'} if self._config_etag else None
            )
        except UplinkError as error:
            logger.warning("configuration not fetched: reason=%r", str(error))
            return
        if not is_collectors_config(answer, self._config_etag):
            logger.warning("configuration not fetched: reason=%r", explain(answer))
            return
        if answer.content is None:  # 304: it is the one before again, or a cache on the way knows no better
            self._wanted_etag = self._config_etag
        else:
            self._wanted_etag = answer.etag or self._wanted_etag  # it may have changed since the push
            try:
                self._on_config(self._wanted_etag, answer.content)
            except ConfigError as error:
                logger.error("configuration refused, keeping the one before: reason=%r", str(error))  # noqa: TRY400
        self._config_etag = self._wanted_etag


class Sender:
    """The thread around a Delivery. It calls `on_exit` when it ends by itself: the device has ended, or a bug; and
    `on_step` after each push."""

    def __init__(
        self, delivery: Delivery, on_exit: Callable[[], None], on_step: Callable[[], None] = lambda: None
    ) -> None:
        self.has_crashed = False
        self._delivery = delivery
        self._on_exit = on_exit
        self._on_step = on_step
        self._wake = threading.Condition()
        self._has_news = False
        self._is_stopping = False
        self._thread = threading.Thread(target=self._guard, name="sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def notify(self) -> None:
        """A record has come."""
        with self._wake:
            self._has_news = True
            self._wake.notify()

    def stop(self, timeout_seconds: float) -> None:
        """One last push of the newest records, and the end of the thread, or of the time."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify()
        self._thread.join(timeout_seconds)

    def _guard(self) -> None:
        try:
            self._run()
        except Exception:
            logger.exception("sender crashed")
            self.has_crashed = True
            self._on_exit()

    def _run(self) -> None:
        while True:
            with self._wake:
                is_last, self._has_news = self._is_stopping, False
            if is_last:
                self._delivery.step_last()
                self._on_step()
                return
            wait_seconds = self._delivery.step()
            self._on_step()
            if self._delivery.ended_reason is not None:
                self._on_exit()
                return
            with self._wake:
                if not self._has_news and not self._is_stopping:
                    self._wake.wait(wait_seconds)


def encode_push(push: Push) -> bytes:
    return json.dumps(push, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
