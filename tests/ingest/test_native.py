"""Pushes of protocol version 1: each rule of what is stored, refused and answered."""

import asyncio

from collector.ingest.native import Sender
from collector.series.labels import Target
from protocol import wire
from tests.ingest.conftest import NOW, Bench, frame, layout

DAY_MS = 86_400_000
CPU = ("cpu", {"mode": "user"})


async def test_a_push_is_stored_and_acknowledged(bench: Bench) -> None:
    answer = await bench.push(layouts=[layout("l", CPU)], frames=[frame("l", [0.5])])
    assert answer == {"acked": 7, "now": NOW, "need_layouts": [], "refused": [], "config_etag": '"etag"'}
    assert bench.read("cpu") == {"mode=user": 0.5}


async def test_an_unknown_layout_is_asked_for_and_nothing_is_stored(bench: Bench) -> None:
    frames = [frame("known", [0.5]), frame("x", [1.0]), frame("x", [2.0])]
    event = {"id": "e", "t": NOW, "type": "goodbye"}
    answer = await bench.push(layouts=[layout("known", CPU)], frames=frames, events=[event])
    assert (answer["acked"], answer["need_layouts"], answer["refused"]) == (None, ["x"], [])
    assert bench.read("cpu") == {}
    assert bench.sink.events == []


async def test_a_layout_id_means_what_its_sender_last_said(bench: Bench) -> None:
    await bench.push(layouts=[layout("l", CPU)], frames=[frame("l", [0.5], NOW - 2)])
    other = Sender(Target("pc-2", "acme", "hq", "server"), {}, "")
    assert (await bench.push(sender=other, frames=[frame("l", [0.5])]))["need_layouts"] == ["l"]
    await bench.push(layouts=[layout("l", ("ram", {}))], frames=[frame("l", [0.7], NOW - 1)])
    assert (bench.read("cpu"), bench.read("ram")) == ({}, {"": 0.7})


async def test_a_wrong_number_of_values_is_refused_alone(bench: Bench) -> None:
    answer = await bench.push(layouts=[layout("l", CPU)], frames=[frame("l", [0.5, 0.6]), frame("l", [0.7])])
    assert answer["acked"] == 7
    assert answer["refused"] == [{"frame": 0, "reason": "2 values for a layout of 1 series"}]
    assert bench.read("cpu") == {"mode=user": 0.7}


async def test_reserved_labels_are_kept_as_exported_and_never_collide(bench: Bench) -> None:
    labels = {"customer": "liar", "exported_customer": "older liar", "device_id": "x", "empty": ""}
    await bench.push(layouts=[layout("l", ("cpu", labels))], frames=[frame("l", [1.0])])
    assert bench.read("cpu") == {
        "exported_customer=older liar,exported_device_id=x,exported_exported_customer=liar": 1.0
    }


async def test_series_that_only_the_collector_makes_are_dropped_and_named(bench: Bench) -> None:
    series = [("ALERTS", {}), CPU, ("quarkpulse_up", {}), ("ram", {"__name": "x"}), CPU, ("disk", {})]
    frames = [frame("l", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])]
    answer = await bench.push(layouts=[layout("l", *series)], frames=frames)
    assert answer["acked"] == 7
    (refusal,) = answer["refused"]
    assert refusal["frame"] == 0
    assert all(name in refusal["reason"] for name in ("ALERTS", "quarkpulse_up", "ram", "1 more"))
    assert (bench.read("cpu"), bench.read("disk"), bench.read("ALERTS")) == ({"mode=user": 2.0}, {"": 6.0}, {})


async def test_printers_are_stored_under_their_own_name_and_strangers_refused(bench: Bench) -> None:
    frames = [frame("l", [1.0], device="prn-1"), frame("l", [2.0], device="prn-x"), frame("l", [3.0], device="pc-1")]
    answer = await bench.push(layouts=[layout("l", CPU)], frames=frames)
    assert answer["refused"] == [{"frame": 1, "reason": "this agent is not set to read prn-x"}]
    assert (bench.read("cpu", "prn-1"), bench.read("cpu")) == ({"mode=user": 1.0}, {"mode=user": 3.0})


async def test_times_out_of_bounds_are_refused_and_the_push_is_still_acknowledged(bench: Bench) -> None:
    times = [NOW - 7 * DAY_MS - 1, NOW - 7 * DAY_MS, NOW + 7 * DAY_MS + 1]
    answer = await bench.push(layouts=[layout("l", CPU)], frames=[frame("l", [1.0], t) for t in times])
    assert answer["acked"] == 7
    assert [refusal["frame"] for refusal in answer["refused"]] == [0, 2]


async def test_what_is_ahead_of_the_clock_waits_for_its_time(bench: Bench) -> None:
    hour = 3_600_000
    answer = await bench.push(layouts=[layout("l", CPU)], frames=[frame("l", [1.0], NOW + hour)])
    assert (answer["acked"], answer["refused"]) == (7, [])
    assert bench.ingest.counters.frames_ahead == 1
    assert bench.store.stats().frames_ahead == 1
    bench.now = NOW + hour
    await bench.store.tick()
    assert bench.read("cpu") == {"mode=user": 1.0}
    assert bench.store.stats().frames_ahead == 0


async def test_null_is_no_sample_and_the_last_value_stands(bench: Bench) -> None:
    frames = [frame("l", [1.0], NOW - 1000), frame("l", [None], NOW)]
    await bench.push(layouts=[layout("l", CPU)], frames=frames)
    assert bench.read("cpu") == {"mode=user": 1.0}


async def test_events_and_inventory_are_kept_before_the_answer(bench: Bench) -> None:
    event = {"id": "e", "t": NOW, "type": "probe_unavailable", "probe": "smart"}
    answer = await bench.push(events=[event], inventory={"model": "x"})
    assert answer["acked"] == 7
    assert [one.model_dump() for one in bench.sink.events] == [event]
    assert bench.sink.inventories == [{"model": "x"}]


async def test_a_sender_has_a_bounded_number_of_layouts(bench: Bench) -> None:
    for start in range(0, 900, 300):
        many = [layout(f"l{start + index}", (f"m{start + index}", {})) for index in range(300)]
        await bench.push(layouts=many)
    assert (await bench.push(frames=[frame("l299", [1.0])]))["need_layouts"] == ["l299"]
    assert (await bench.push(frames=[frame("l300", [1.0])]))["acked"] == 7
    assert wire.MAX_LAYOUTS_PER_PUSH == 300


async def test_a_cancelled_push_harms_no_other(bench: Bench) -> None:
    await bench.push(layouts=[layout("l", CPU)], frames=[frame("l", [1.0], NOW - 10)])
    tasks = [asyncio.ensure_future(bench.push(frames=[frame("l", [float(n)], NOW - 9 + n)])) for n in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [False, True, False]
    assert [tasks[index].result()["acked"] for index in (0, 2)] == [7, 7]
    assert bench.read("cpu") == {"mode=user": 2.0}
