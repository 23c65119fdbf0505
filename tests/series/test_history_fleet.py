"""Questions about many devices at once, over files of every kind and the log, in one go and span by span."""

from pathlib import Path

import duckdb
import numpy as np

from collector.clock import from_milliseconds
from collector.series.catalog import DeviceFrame, pack_values
from collector.series.history import manifest as manifests
from collector.series.history.blocks import FINAL, BlockSettings
from collector.series.history.fetch import MAX_OWNERS_APART
from collector.series.history.history import History, HistorySettings
from collector.series.labels import Target
from collector.series.read import Matcher, MatchOp, is_stale
from collector.series.store import SampleStore
from tests.series import model
from tests.series.test_history import DAY, HOUR, STORE

DEVICES = 2 * MAX_OWNERS_APART + 5
START = 1_700_000_000_000 // DAY * DAY
STEP = HOUR
NAMES = ("a", "b", "c")

Told = dict[tuple[str, str], dict[int, model.Value]]


class Fleet:
    """Devices that all send the same series, one of them late, one twice, one only until it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = START
        self.expected: Told = {(f"pc-{number:02}", name): {} for number in range(DEVICES) for name in NAMES}

    async def open(self) -> None:
        clock = lambda: from_milliseconds(self.now)  # noqa: E731
        self.store = await SampleStore.open(self.folder, windows={}, clock=clock, settings=STORE)
        small = HistorySettings(blocks=BlockSettings(part_rows=2_000, fan_in=3))
        self.history = await History.open(self.store, clock=clock, settings=small)

    async def step(self, number: int) -> None:
        self.now += STEP
        series = self.store.series([(name, {}) for name in NAMES])
        frames = []
        for place in range(DEVICES):
            device = f"pc-{place:02}"
            t = self.now - (5 * HOUR if place == 1 and number % 2 else 0)
            layout = self.store.layout(Target(device, "acme", "hq", "server"), series)
            if place == 3 and number > 10:
                continue
            for repeat in range(2 if place == 2 else 1):
                values = [float(number + repeat), place + 0.5, float("nan")]
                frames.append(DeviceFrame(layout, t, self.now, pack_values(values)))
                for name, value in zip(NAMES, values, strict=True):
                    self.expected[device, name].setdefault(t, value)
        await self.store.append(frames)
        if number == 10:
            await self.store.end_device("pc-03", self.now + 1)
            for name in NAMES:
                self.expected["pc-03", name][self.now + 1] = model.STALE

    def read(self, matcher: Matcher, spans: list[tuple[int, int]]) -> Told:
        reader = self.history.reader
        found: Told = {}
        for start, end in spans:
            selection = reader.select((matcher,), start, end)
            samples = reader.samples(selection, start, end)
            stale = is_stale(samples.values)
            for row in range(len(selection)):
                labels = selection.labels.texts(reader.strings, row)
                of_series = found.setdefault((labels["device_id"], labels["__name__"]), {})
                for column in range(int(samples.counts[row])):
                    value = model.STALE if stale[row, column] else float(samples.values[row, column])
                    of_series[int(samples.times[row, column])] = value
        return found


def plain(told: Told) -> dict[tuple[str, str], list[tuple[int, str]]]:
    """NaN is not itself; its text is."""
    return {key: [(t, str(value)) for t, value in sorted(samples.items())] for key, samples in told.items()}


async def test_a_fleet_is_read_whole_and_in_spans_and_before_and_after_every_merge(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.open()
    for number in range(60):
        await fleet.step(number)
        if number % 7 == 0:
            await fleet.history.compact()
    end = fleet.now
    days = [(start - 1, start + DAY - 1) for start in range(START - DAY, end + DAY, DAY)]
    one = Matcher("__name__", MatchOp.EQUAL, "b")
    every = Matcher("__name__", MatchOp.REGEX, ".+")
    for _ in range(2):
        assert fleet.history.stats().blocks > 3
        expected = plain(fleet.expected)
        of_one = {key: samples for key, samples in expected.items() if key[1] == "b"}
        assert plain(fleet.read(one, [(0, end)])) == plain(fleet.read(one, days)) == of_one
        assert plain(fleet.read(every, [(0, end)])) == plain(fleet.read(every, days)) == expected
        fleet.now += 2 * DAY  # every day is over, and merged
        await fleet.history.compact()
    await fleet.history.close()
    await fleet.store.close()


async def test_in_the_files_of_a_day_that_is_over_a_metric_stands_together(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.open()
    for number in range(30):
        await fleet.step(number)
    fleet.now += 2 * DAY
    await fleet.history.compact()
    await fleet.step(30)  # seals the segment before
    await fleet.history.compact()
    await fleet.history.close()
    await fleet.store.close()
    whole = [block for block in manifests.load(tmp_path / "history").blocks if block.level == FINAL]
    assert whole
    for block in whole:
        columns = duckdb.read_parquet(str(tmp_path / "history" / block.name)).fetchnumpy()
        metrics, series = np.ma.getdata(columns["metric"]), np.ma.getdata(columns["series"])
        assert (np.diff(metrics) >= 0).all()
        assert len(np.unique(metrics)) == len(NAMES)
        assert (np.diff(series)[np.diff(metrics) == 0] >= 0).all()
