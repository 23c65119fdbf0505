"""A delivery over real HTTP to the tests' collector; only the clock is the test's."""

from pathlib import Path

from agent.clock import AgentClock
from agent.delivery import Delivery, Policy
from agent.spool import Record, Spool
from agent.uplink import Uplink
from protocol.wire import Frame, Layout, Series, layout_id
from tests.agent.collector import SECRET, Collector, Reply

SERIES = [Series(name="system_uptime_seconds", labels={})]


LAYOUT = Layout(id=layout_id(SERIES), series=SERIES)


def highest(_: float, high: float) -> float:
    return high


class Bench:
    """A delivery, its spool, and a clock that the test moves. Chance is out of the game: the highest delay counts."""

    def __init__(self, collector: Collector, folder: Path) -> None:
        self.collector = collector
        self.boot = 1000.0
        self.clock = AgentClock(boot=lambda: self.boot, wall=collector.now_seconds)
        self.spool = Spool(folder)
        self.configs: list[tuple[str, dict[str, object]]] = []
        self.uplink = Uplink(collector.url, secret=SECRET)
        self.delivery = Delivery(
            self.uplink,
            self.spool,
            self.clock,
            boot_id="boot",
            config_etag=collector.config_etag,
            on_config=lambda etag, content: self.configs.append((etag, content)),
            policy=Policy(backlog_pause_seconds=(0.0, 0.0), backlog_rest=(0.0, 0.0), batch_records=20),
            uniform=highest,
        )

    def append(self, *values: float) -> None:
        for value in values:
            frame = Frame(layout=LAYOUT["id"], t=int(value), v=[value])
            self.spool.append(Record(layouts=[LAYOUT], frames=[frame], events=[]), self.clock.now_milliseconds())

    def run(self, *, steps: int = 50) -> None:
        """Step while there is something to do at once."""
        for _ in range(steps):
            if self.delivery.step() != 0:
                return
        raise AssertionError("it never comes to rest")

    @property
    def stored(self) -> list[list[float | None]]:
        """Values by push."""
        return [[frame.v[0] for frame in push.frames] for push in self.collector.pushes]


def answer_of(bench: Bench, **changes: object) -> Reply:
    """An acknowledgement of the first push of the first record, but for the changes."""
    now = int(bench.collector.now_seconds() * 1000)
    return Reply(200, {"acked": 2, "now": now, "need_layouts": [], "refused": [], "config_etag": '"first"'} | changes)
