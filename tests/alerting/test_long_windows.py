"""A rule that looks back further than the head sees what history says, and reads the disk once."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from collector.promql import compile_expr
from collector.series.long_windows import LongWindowError
from collector.series.read import Samples
from collector.series.slots import Slots
from tests.alerting.long_windows import DAY, HOUR, MINUTE, START, Place

AGED = START + 8 * DAY

pytestmark = pytest.mark.slow

FEW = [
    compile_expr(text)
    for text in (
        "increase(requests_total[1d]) > 10",
        "avg_over_time(celsius[1w])",
        "max_over_time(rate(requests_total[5m])[1d:5m])",
        "celsius offset 1d",
        "requests_total - requests_total offset 1w",
    )
]
MORE = [
    compile_expr(text)
    for text in (
        "rate(requests_total[3h] offset 1d)",
        "sum_over_time(celsius[1d])",
        "min_over_time(celsius[1d])",
        "max_over_time(celsius[1d])",
        "count_over_time(celsius[1d])",
        "delta(celsius[1d])",
        "changes(celsius[1d])",
        "resets(requests_total[1d])",
        "quantile_over_time(0.95, celsius[1d])",
        "last_over_time(celsius[1d])",
        "stddev_over_time(celsius[1d])",
        "predict_linear(celsius[1d], 3600)",
        "absent_over_time(celsius[1d])",
        "avg_over_time(celsius[10m]) / avg_over_time(celsius[1d])",
    )
]


@pytest.fixture(scope="module")
def eight_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store's folder eight days old, compacted but for the last hours."""

    async def live(folder: Path) -> None:
        place = Place(folder, FEW)
        await place.open()
        await place.live(AGED)
        await place.history.compact()
        await place.close()

    folder = tmp_path_factory.mktemp("aged") / "data"
    asyncio.run(live(folder))
    return folder


@pytest.fixture
async def place(tmp_path: Path, eight_days: Path) -> AsyncIterator[Place]:
    shutil.copytree(eight_days, tmp_path / "data")
    place = Place(tmp_path / "data", FEW, now=AGED)
    await place.open()
    yield place
    await place.close()


async def test_a_long_window_sees_what_history_says_while_time_goes_on(place: Place) -> None:
    place.plans = [*FEW, *MORE]
    assert list(place.compare()) == []
    for minutes in (30, 90, 5, 240):  # within the slab, beyond it, beyond the head
        await place.live(place.now + minutes * MINUTE)
        assert list(place.compare()) == []
        if minutes > 60:
            await place.history.compact()


async def test_history_is_read_once_and_not_by_each_evaluation(place: Place) -> None:
    for plan in place.plans:
        place.rules.instant(plan, place.now)
    first = place.reader.counters.history_reads
    for _ in range(35):
        await place.live(place.now + MINUTE)
        for plan in place.plans:
            place.rules.instant(plan, place.now)
    assert place.reader.counters.history_reads == first
    for _ in range(12):
        await place.live(place.now + 10 * MINUTE)
        for plan in place.plans:
            place.rules.instant(plan, place.now)
    moved_on = place.reader.counters.history_reads - first
    assert 0 < moved_on <= 4 * 5  # slabs, each at most once in 40 minutes


async def test_a_short_window_reads_no_history(place: Place) -> None:
    plan = compile_expr("increase(requests_total[2h]) + celsius offset 30m")
    place.rules.instant(plan, place.now)
    assert place.reader.counters.history_reads == 0
    assert place.reader.samples_held == 0


@pytest.mark.parametrize("hours", [0.5, 3, 20])
async def test_late_samples_count_at_the_next_evaluation(place: Place, hours: float) -> None:
    gone = "srv-1"
    began = place.now
    assert list(place.compare()) == []
    for _ in range(int(hours * 2)):
        await place.live(place.now + 30 * MINUTE, without=[gone])
        place.rules.instant(place.plans[0], place.now)
    late = next(machine for machine in place.machines if machine.name == gone)
    await place.store.append([late.frame(place.now)])  # what is live comes first
    assert list(place.compare()) == []
    times = range(began + MINUTE, place.now, MINUTE)
    await place.store.append([late.frame(t, received=place.now) for t in times])
    assert list(place.compare()) == []
    if hours > 1:
        assert place.reader.counters.late_devices >= 1


async def test_late_samples_are_read_again_for_a_tenth_of_the_time_at_most(place: Place) -> None:
    plan = compile_expr("count_over_time(celsius[1d])")
    machine = place.machines[0]

    class Slow:
        """History that takes a second."""

        select, labels = place.history.select, place.history.labels

        @staticmethod
        def samples(rows: Slots, start: int, end: int) -> Samples:
            place.elapsed += 1.0
            return place.history.samples(rows, start, end)

    place.rules.instant(plan, place.now)
    place.reader._history = Slow()
    await place.store.append([machine.frame(place.now - 5 * HOUR + 1, received=place.now)])
    place.rules.instant(plan, place.now)
    reads = place.reader.counters.history_reads
    await place.store.append([machine.frame(place.now - 5 * HOUR + 2, received=place.now)])
    place.elapsed += 8.0
    place.rules.instant(plan, place.now)
    assert place.reader.counters.history_reads == reads
    place.elapsed += 30.0
    seen, told = place.both(plan)
    assert seen == told
    assert place.reader.counters.history_reads > reads


async def test_right_after_a_start_and_a_reload_the_windows_are_whole(place: Place) -> None:
    await place.live(place.now + 20 * MINUTE)
    assert list(place.compare()) == []
    await place.close()
    await place.open()
    assert list(place.compare()) == []
    await place.live(place.now + 10 * MINUTE)
    deeper = compile_expr("sum_over_time(celsius[3d]) + sum_over_time(requests_total[90m])")
    place.plans = [*FEW, deeper]
    await place.store.set_windows({**deeper.windows, "requests_total": 7200.0})
    assert list(place.compare()) == []


async def test_series_come_and_go(place: Place) -> None:
    assert list(place.compare()) == []
    series = place.store.series([("celsius", {"part": "new"})])
    machine = place.machines[0]
    before, machine.layout = machine.layout, place.store.layout(machine.layout.target, series)
    plan = compile_expr("count_over_time(celsius[1d])")
    frames = [
        frame._replace(values=frame.values[8:])
        for frame in (machine.frame(place.now + minute * MINUTE) for minute in range(1, 20))
    ]
    place.now += 20 * MINUTE
    await place.store.append(frames)
    assert list(place.compare()) == []
    machine.layout = before
    await place.live(place.now + 5 * MINUTE)
    assert list(place.compare()) == []
    await place.store.end_device("srv-2", place.now)
    for _ in range(12):
        await place.live(place.now + 3 * HOUR, without=["srv-2"])
        seen, told = place.both(plan)
        assert seen == told
    assert "srv-2 " not in seen


async def test_more_than_there_is_room_for_is_refused_by_name(tmp_path: Path) -> None:
    place = Place(tmp_path, [compile_expr("sum_over_time(celsius[1d])")], max_samples=3_500)
    await place.open()
    await place.live(place.now + 2 * DAY)
    with pytest.raises(LongWindowError, match="long_window_bytes"):
        place.rules.instant(compile_expr("sum_over_time(celsius[2d])"), place.now)
    place.rules.instant(place.plans[0], place.now)
    with pytest.raises(LongWindowError):
        place.rules.instant(compile_expr("sum_over_time(requests_total[1d])"), place.now)
    await place.live(place.now + 20 * MINUTE)
    # Nobody has asked for the first one for a while: it makes room.
    place.rules.instant(compile_expr("sum_over_time(requests_total[1d])"), place.now)
    assert place.reader.samples_held <= 3_500
    await place.live(place.now + 3 * HOUR)
    place.rules.instant(compile_expr("sum_over_time(celsius[3h])"), place.now)
    assert place.reader.samples_held < 1_000
    await place.close()
