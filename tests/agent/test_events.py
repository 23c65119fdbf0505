import threading
from itertools import count

from agent.events import MAX_WAITING, Events
from protocol.wire import EventType


def make_events() -> Events:
    ids = count()
    return Events(lambda: 1_000, lambda: str(next(ids)))


def test_events_wait_to_be_taken_once() -> None:
    events = make_events()
    events.add(EventType.CLOCK_STEP, seconds=3.0)
    assert events.take() == [{"id": "0", "t": 1_000, "type": "clock_step", "seconds": 3.0}]
    assert events.take() == []


def test_the_oldest_goes_when_there_are_too_many_and_is_counted() -> None:
    events = make_events()
    for number in range(MAX_WAITING + 5):
        events.add(EventType.PROBE_UNAVAILABLE, probe=str(number))
    events.add(EventType.GOODBYE, reason="stop")
    taken = events.take()
    assert len(taken) == MAX_WAITING
    assert taken[-1]["type"] == "goodbye"
    assert events.dropped == 6


def test_two_threads_lose_nothing_between_them() -> None:
    events = make_events()
    taken: list[str] = []
    start = threading.Barrier(2)

    def add() -> None:
        start.wait()
        for _ in range(2_000):
            events.add(EventType.CLOCK_STEP)

    adder = threading.Thread(target=add)
    adder.start()
    start.wait()
    while adder.is_alive():
        taken += [event["id"] for event in events.take()]
    adder.join()
    taken += [event["id"] for event in events.take()]
    assert len(taken) + events.dropped == 2_000
    assert len(set(taken)) == len(taken)
