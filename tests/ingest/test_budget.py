"""What one device may make the collector remember, and that others notice nothing of it."""

import gc

import pytest

from collector.ingest.budget import LayoutLimits
from collector.ingest.native import Ingest, Sender
from collector.series.catalog import Template
from collector.series.labels import Target
from tests.ingest.conftest import NOW, Bench, frame, layout

HOUR_MS = 3_600_000
OTHER = Sender(Target("pc-2", "acme", "hq", "server"), {}, "")
LONG = "x" * 500


def churn(turn: int, series: int, labels: int = 1) -> dict[str, object]:
    """A layout in which every series is new."""
    texts = [f"{turn}-{index}-" for index in range(series)]
    return layout(f"l{turn}", *[("m", {f"k{n}": (text + LONG)[:500] for n in range(labels)}) for text in texts])


def limited(bench: Bench, limits: LayoutLimits) -> None:
    bench.ingest = Ingest(bench.store, bench.sink, bench.clock, limits)


async def refusal(bench: Bench, turn: int, series: int, labels: int = 1) -> str | None:
    """Why the frame of a layout that is all new was not stored; None if it was."""
    answer = await bench.push(
        layouts=[churn(turn, series, labels)], frames=[frame(f"l{turn}", [1.0] * series, NOW + turn)]
    )
    assert (answer["acked"], answer["need_layouts"]) == (7, [])
    return answer["refused"][0]["reason"] if answer["refused"] else None


async def test_new_series_have_a_budget_that_fills_again(bench: Bench) -> None:
    limited(bench, LayoutLimits(new_series_at_once=100, new_series_per_hour=60))
    assert [await refusal(bench, turn, 40) is None for turn in range(4)] == [True, True, False, False]
    assert bench.ingest.counters.frames_of_refused_layout == 2
    reason = await refusal(bench, 4, 40)
    assert reason is not None
    assert "60 an hour" in reason
    bench.now = NOW + HOUR_MS
    answer = await bench.push(frames=[frame("l4", [1.0] * 40)])
    assert (answer["need_layouts"], answer["refused"]) == ([], [])


async def test_known_series_in_another_order_cost_nothing(bench: Bench) -> None:
    limited(bench, LayoutLimits(new_series_at_once=3, new_series_per_hour=1))
    series: list[tuple[str, dict[str, str]]] = [("a", {}), ("b", {}), ("c", {})]
    for turn in range(20):
        series = [*series[1:], series[0]]
        answer = await bench.push(
            layouts=[layout(f"l{turn}", *series[: 1 + turn % 3])],
            frames=[frame(f"l{turn}", [1.0] * (1 + turn % 3), NOW + turn)],
        )
        assert answer["refused"] == []


async def test_label_text_is_bounded_by_series_layout_and_hour(bench: Bench) -> None:
    limits = LayoutLimits(text_bytes_per_series=2_000, text_bytes_per_layout=20_000, new_text_bytes_at_once=30_000)
    limited(bench, limits)
    wide = layout("w", ("cpu", {}), ("wide", {f"k{n}": LONG for n in range(5)}))
    answer = await bench.push(layouts=[wide], frames=[frame("w", [0.5, 1.0])])
    assert "a series may have 2000" in answer["refused"][0]["reason"]
    assert bench.read("cpu") == {"": 0.5}
    assert "a layout may have 20000" in (await refusal(bench, 1, 60) or "")
    assert [await refusal(bench, turn, 25) is None for turn in (2, 3, 4)] == [True, True, False]


async def test_definitions_have_a_size_together(bench: Bench) -> None:
    limited(bench, LayoutLimits(kept_bytes_per_sender=30_000))
    assert [await refusal(bench, turn, 20) for turn in range(3)] == [None] * 3
    assert (await bench.push(frames=[frame("l2", [1.0] * 20)]))["need_layouts"] == []
    assert (await bench.push(frames=[frame("l0", [1.0] * 20)]))["need_layouts"] == ["l0"]
    answer = await bench.push(
        layouts=[churn(turn, 20) for turn in range(10, 13)],
        frames=[frame(f"l{turn}", [1.0] * 20) for turn in range(10, 13)],
    )
    assert answer["need_layouts"] == []
    assert ["too large" in one["reason"] for one in answer["refused"]] == [True] * 2


async def test_a_host_of_containers_and_an_upgrade_pass(bench: Bench) -> None:
    for turn in range(48):  # a day: each half hour other mounts and interfaces
        bench.now = NOW + turn * HOUR_MS // 2
        fixed = [("cpu", {"n": str(n)}) for n in range(300)]
        moving = [("mount", {"path": f"/run/containers/{turn}-{n}"}) for n in range(100)]
        answer = await bench.push(
            layouts=[layout(f"d{turn}", *fixed, *moving)], frames=[frame(f"d{turn}", [1.0] * 400, bench.now)]
        )
        assert answer["refused"] == []
    bench.now += 60_000
    everything = [(f"renamed_{n}", {"disk": "a"}) for n in range(2_000)]
    answer = await bench.push(layouts=[layout("u", *everything)], frames=[frame("u", [1.0] * 2_000, bench.now)])
    assert answer["refused"] == []


def templates() -> int:
    gc.collect()
    return sum(isinstance(one, Template) for one in gc.get_objects())


@pytest.mark.slow
async def test_an_attack_by_churn_costs_little_and_harms_nobody(bench: Bench) -> None:
    before = templates()  # other tests of this process may have left some
    for turn in range(60):
        await refusal(bench, turn, 300, labels=7)
    answer = await bench.push(sender=OTHER, layouts=[layout("l", ("cpu", {}))], frames=[frame("l", [0.5])])
    assert (answer["acked"], answer["refused"]) == (7, [])
    assert bench.read("cpu", "pc-2") == {"": 0.5}
    assert bench.ingest.counters.frames_of_refused_layout > 40
    assert templates() - before < 20_000
    assert bench.store.stats().log_bytes < 4_000_000


async def test_text_of_series_that_are_gone_is_forgotten(bench: Bench) -> None:
    strings = bench.store.reader.strings
    scratch = strings.scratch()
    await refusal(bench, 1, 50)
    bench.now += 1_000
    assert len(bench.read("m")) == 50
    before = len(strings)
    kept = scratch.code(("1-7-" + LONG)[:500])
    bench.now += 3 * HOUR_MS
    answer = await bench.push(layouts=[layout("l", ("cpu", {}))], frames=[frame("l", [0.5], bench.now)])
    assert answer["acked"] == 7
    for _ in range(2):
        bench.now += 3 * HOUR_MS
        await bench.push(frames=[frame("l", [0.5], bench.now)])
        await bench.store.checkpoint()
    await bench.store.checkpoint()
    assert len(strings) <= before - 49
    assert strings.text(kept).startswith("1-7-")
    del scratch
    gc.collect()
    await bench.store.checkpoint()
    await bench.store.checkpoint()
    assert strings.find(("1-7-" + LONG)[:500]) is None
    assert bench.read("cpu") == {"": 0.5}
