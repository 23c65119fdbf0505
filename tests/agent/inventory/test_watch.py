"""When an inventory is read and sent, with the real child."""

import json
import sys
from pathlib import Path

import pytest

from agent.inventory.watch import InventoryProbe
from agent.probes.base import ProbeFailed
from agent.state import ProbeEntry, StateFolder

DAY = 86_400.0


class Told:
    """A reader whose answer the test sets, in the place of `python -m agent.inventory`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "answer"
        self.interpreter = (sys.executable, "-c", f"print(open({str(self._file)!r}).read())")

    def say(self, answer: object) -> None:
        self._file.write_text(answer if isinstance(answer, str) else json.dumps(answer))


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_this_machine_is_read_by_the_child(tmp_path: Path) -> None:
    probe = InventoryProbe(StateFolder(tmp_path), lambda: DAY)
    assert probe.sample() == []
    inventory = probe.take()
    assert inventory is not None
    assert inventory["read_at"] == DAY * 1000
    assert inventory["software"]["count"] > 0
    assert probe.take() is None


def test_it_is_sent_when_it_has_changed_and_once_a_day(tmp_path: Path, told: Told) -> None:
    now = [DAY]

    def read_again() -> bool:
        probe = InventoryProbe(StateFolder(tmp_path), lambda: now[0], interpreter=told.interpreter)  # as after a start
        probe.sample()
        return probe.take() is not None

    told.say({"inventory": {"model": "A", "users": {"logged_in": 1}}})
    assert read_again()
    told.say({"inventory": {"model": "A", "users": {"logged_in": 2}}})
    assert not read_again()
    told.say({"inventory": {"model": "B"}})
    assert read_again()
    now[0] += DAY - 1
    assert not read_again()
    now[0] += 1
    assert read_again()
    now[0] -= 30 * DAY  # the clock was set back
    assert read_again()


def test_a_damaged_note_means_that_it_is_sent(tmp_path: Path, told: Told) -> None:
    StateFolder(tmp_path).inventory_path.write_text('{"digest": 3, "sent_at": "soon"')
    told.say({"inventory": {}})
    probe = InventoryProbe(StateFolder(tmp_path), lambda: DAY, interpreter=told.interpreter)
    probe.sample()
    assert probe.take() is not None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("no json", "did not answer in JSON"),
        ({"failed": "KeyError: 'x'"}, "KeyError"),
        ({"inventory": [1]}, "gave none"),
        ("x" * (1 << 20), "more than"),
    ],
)
def test_a_reader_that_fails_is_a_failed_probe(tmp_path: Path, told: Told, answer: object, reason: str) -> None:
    told.say(answer)
    probe = InventoryProbe(StateFolder(tmp_path), lambda: DAY, interpreter=told.interpreter)
    with pytest.raises(ProbeFailed, match=reason):
        probe.sample()
    assert probe.take() is None


def test_the_inventory_names_the_probes_of_this_agent(state: Path) -> None:
    """What another's package adds, too: the collector then knows what can be set."""
    StateFolder(state).save_probes({"cpu": ProbeEntry("a:B"), "badge_reader": ProbeEntry("badges:Reader")})
    probe = InventoryProbe(StateFolder(state), lambda: DAY)
    probe.sample()
    inventory = probe.take()
    assert inventory is not None
    assert inventory["probes"] == ["badge_reader", "cpu"]
