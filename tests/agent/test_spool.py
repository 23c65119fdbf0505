import contextlib
import json
import logging
import os
import resource
import zlib
from pathlib import Path

import pytest

from agent.spool import BLOCK_BYTES, RESERVE, Limits, Record, Spool, compress
from protocol.wire import Frame, Layout, Series, layout_id

NOW = 1_796_000_000_000
SERIES = [Series(name="system_uptime_seconds", labels={})]


def record(value: float, t: int = NOW) -> Record:
    layout = Layout(id=layout_id(SERIES), series=SERIES)
    return Record(layouts=[layout], frames=[Frame(layout=layout["id"], t=t, v=[value])], events=[])


def values(spool: Spool) -> list[float | None]:
    """Of what can be read now."""
    found = []
    for seq in spool.oldest(1000):
        with contextlib.suppress(OSError):
            found.append(spool.read(seq))
    return [frame["v"][0] for one in found if one for frame in one["frames"]]


def test_records_come_back_in_order_after_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for value in range(3):
        spool.append(record(value), NOW + value)
    again = Spool(tmp_path)
    assert values(again) == [0, 1, 2]
    assert again.id == spool.id
    assert again.bytes == spool.bytes > 0


def test_a_record_is_readable_with_common_tools(tmp_path: Path) -> None:
    Spool(tmp_path).append(record(7), NOW)
    (file,) = tmp_path.glob("*.json.gz")
    assert json.loads(zlib.decompress(file.read_bytes(), 31)) == record(7)
    assert file.stat().st_mode & 0o777 == 0o600


def test_numbers_never_come_back_over_restarts(tmp_path: Path) -> None:
    taken: list[int] = []
    for _ in range(4):
        spool = Spool(tmp_path)
        taken += [spool.take_seq() for _ in range(RESERVE + 3)]
    assert taken == sorted(set(taken))


def test_a_damaged_number_file_begins_a_new_spool_and_keeps_its_records(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(record(1), NOW)
    (tmp_path / "spool.json").write_bytes(b'{"id": 4')
    again = Spool(tmp_path)
    assert again.id != spool.id
    again.append(record(2), NOW)
    assert values(again) == [1, 2]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"not gzip",
        None,
        compress(b"[1, 2]"),
        compress(b'{"layouts": [7], "frames": [], "events": []}'),
        compress(b'{"layouts": [{}], "frames": [{"v": 3}], "events": []}'),
        compress(b'{"layouts": [{"id": "a"}], "frames": [], "events": []}'),
        compress(b'{"layouts": [{"id": "a", "series": [7]}], "frames": [], "events": []}'),
        compress(b'{"layouts": [], "frames": [{"layout": 7, "t": 1, "v": []}], "events": []}'),
        compress(b'{"layouts": [], "frames": [{"layout": "a", "t": 1, "v": [NaN]}], "events": []}'),
        compress(b'{"layouts": [], "frames": [{"layout": "a", "t": 1, "v": []}], "events": []}'),
        compress(b'{"layouts": [], "frames": [], "events": [{"id": "a"}]}'),
        compress(b"[" * 100_000),
    ],
    ids=[
        "empty",
        "garbage",
        "cut short",
        "no record",
        "no layout",
        "no frame",
        "no series",
        "a number for a series",
        "a frame of no layout",
        "not a number",
        "a layout that it does not bring",
        "no event",
        "too deep",
    ],
)
def test_a_damaged_record_is_set_aside_and_counted(tmp_path: Path, damage: bytes | None) -> None:
    spool = Spool(tmp_path)
    for value in range(3):
        spool.append(record(value), NOW)
    second = sorted(tmp_path.glob("*.json.gz"))[1]
    second.write_bytes(second.read_bytes()[:-9] if damage is None else damage)
    again = Spool(tmp_path)
    assert values(again) == [0, 2]
    assert again.set_aside_total == 1
    assert [file.name for file in (tmp_path / "aside").iterdir()] == [second.name]


def test_a_write_that_a_crash_cut_short_is_swept_away(tmp_path: Path) -> None:
    Spool(tmp_path)
    rest = tmp_path / ".0000000000000007-1796000000000.json.gz.tmp"
    rest.write_bytes(b"half")
    assert len(Spool(tmp_path)) == 0
    assert not rest.exists()


def test_the_oldest_goes_first_when_there_are_too_many(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Limits(records=3))
    for value in range(5):
        spool.append(record(value), NOW)
    assert values(spool) == [2, 3, 4]
    assert spool.dropped == 2
    assert len(list(tmp_path.glob("*.json.gz"))) == 3


def test_the_oldest_goes_first_when_they_are_too_large(tmp_path: Path) -> None:
    one = Spool(tmp_path / "one")
    one.append(record(0), NOW)
    spool = Spool(tmp_path / "two", Limits(bytes=3 * BLOCK_BYTES, aside_bytes=0))
    for value in range(5):
        spool.append(record(value), NOW)
    assert values(spool) == [2, 3, 4]
    assert spool.bytes <= one.bytes * 3


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Limits(age_seconds=2 * 3600.0))
    for hour in range(5):
        spool.append(record(hour), NOW + hour * 3_600_000)
    assert values(spool) == [2, 3, 4]
    assert spool.dropped == 2


def test_one_answer_days_ahead_drops_nothing_before_or_after_a_restart(tmp_path: Path) -> None:
    ahead = NOW + 8 * 86_400_000
    spool = Spool(tmp_path)
    for minute in range(3):
        spool.append(record(minute), NOW + minute * 60_000)
    spool.append(record(3), ahead)
    spool.append(record(4), NOW + 240_000)
    assert values(spool) == [0, 1, 2, 3, 4]
    again = Spool(tmp_path)
    again.append(record(5), ahead)
    assert values(again) == [0, 1, 2, 3, 4, 5]
    assert again.dropped == 0


def test_a_time_that_stays_is_believed_within_a_week_of_hours(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(record(0), NOW)
    later = NOW + 9 * 86_400_000
    for minute in range(8 * 24):
        spool.append(record(1), later + minute * 60_000)
    assert spool.dropped == 1


def test_the_folder_of_what_is_set_aside_is_bounded(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Limits(aside_records=2))
    for value in range(5):
        spool.set_aside(spool.append(record(value), NOW))
    assert len(list((tmp_path / "aside").iterdir())) == 2
    assert (spool.set_aside_total, spool.dropped) == (5, 3)
    assert len(spool) == 0


def test_a_disk_that_takes_nothing_is_bridged_in_memory_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder, Limits(memory_records=3))
    kept_id = spool.id
    spool.append(record(0), NOW)
    hidden = folder.rename(tmp_path / "elsewhere")  # a folder that is gone refuses root as well
    folder.write_text("in the way")
    with caplog.at_level(logging.ERROR):
        for value in range(1, 6):
            spool.append(record(value), NOW)
    assert len(caplog.records) == 1
    assert values(spool)[-3:] == [3, 4, 5]
    assert spool.dropped >= 2
    folder.unlink()
    hidden.rename(folder)
    seq = spool.append(record(6), NOW)
    assert values(spool) == [0, 3, 4, 5, 6]
    spool.remove(seq)
    assert values(spool)[-3:] == [3, 4, 5]
    assert spool.id == kept_id


def test_a_spool_that_cannot_note_its_numbers_takes_a_new_id(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    first, second = (Spool(tmp_path / "file" / "spool") for _ in range(2))
    assert first.id != second.id
    first.append(record(1), NOW)
    assert values(first) == [1]


def test_removing_twice_is_no_error(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    seq = spool.append(record(1), NOW)
    spool.remove(seq)
    spool.remove(seq)
    assert spool.read(seq) is None
    assert (len(spool), spool.bytes) == (0, 0)


def test_the_whole_folder_keeps_within_its_bound_whatever_is_set_aside(tmp_path: Path) -> None:
    limits = Limits(bytes=20 * BLOCK_BYTES, aside_bytes=5 * BLOCK_BYTES)
    spool = Spool(tmp_path, limits)
    for number in range(60):
        seq = spool.append(record(number), NOW)
        if number % 3 == 0:
            spool.set_aside(seq)
        taken = sum(file.stat().st_blocks * 512 for file in tmp_path.rglob("*.json.gz"))
        assert taken <= limits.bytes
    assert len(spool) == 15
    assert len(list((tmp_path / "aside").iterdir())) == 5


def test_damage_is_told_and_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for value in range(3):
        spool.append(record(value), NOW)
    files = sorted(tmp_path.glob("*.json.gz"))
    files[0].write_bytes(b"garbage")
    with files[1].open("r+b") as file:
        file.truncate(1 << 30)  # a gigabyte of nothing must not be read
    (tmp_path / "spool.json").write_text('{"id": "../../etc", "reserved": 7}')
    told: list[str] = []
    again = Spool(tmp_path, on_damage=told.append)
    assert values(again) == [2]
    assert (again.damaged, again.set_aside_total) == (3, 2)
    assert [reason.partition(":")[0] for reason in told] == ["spool.json", "record 1", "record 2"]
    assert f"larger than {Limits().record_bytes} bytes" in told[2]


def test_a_record_that_the_disk_does_not_show_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    for value in range(3):
        spool.append(record(value), NOW)
    lost = min(tmp_path.glob("*.json.gz")).name

    class Entry:
        """As a damaged directory has it: a name, and an error for everything else."""

        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name, self.path, self._entry = entry.name, entry.path, entry

        def is_file(self, *, follow_symlinks: bool) -> bool:
            return self._entry.is_file(follow_symlinks=follow_symlinks)

        def stat(self) -> os.stat_result:
            if self.name == lost:
                raise OSError(5, "Input/output error")
            return self._entry.stat()

    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: contextlib.nullcontext([Entry(one) for one in scan(path)]))
    assert values(Spool(tmp_path)) == [1, 2]


@pytest.mark.parametrize("reserved", [10**15, 10**18])
def test_a_number_beyond_what_names_have_room_for_is_damage(tmp_path: Path, reserved: int) -> None:
    Spool(tmp_path).append(record(1), NOW)
    (tmp_path / "spool.json").write_text(json.dumps({"id": "a" * 32, "reserved": reserved}))
    (tmp_path / f"{10**16 - 1}-{NOW}.json.gz").write_bytes(b"")
    spool = Spool(tmp_path)
    assert spool.damaged == 1
    spool.append(record(2), NOW)
    assert values(Spool(tmp_path)) == [1, 2]


def test_a_clock_beyond_what_names_have_room_for_loses_no_record(tmp_path: Path) -> None:
    Spool(tmp_path).append(record(1), 253_402_300_799_000)
    assert values(Spool(tmp_path)) == [1]


def test_a_file_in_the_place_of_the_folder_is_moved_out_of_the_way(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("no folder")
    told: list[str] = []
    spool = Spool(tmp_path / "spool", on_damage=told.append)
    spool.append(record(1), NOW)
    assert told == ["the spool was no folder"]
    assert values(Spool(tmp_path / "spool")) == [1]
    assert (tmp_path / "spool.damaged").read_text() == "no folder"


@pytest.mark.parametrize("limit", [0, 50])
def test_a_write_that_fails_half_way_leaves_nothing_behind(tmp_path: Path, limit: int) -> None:
    """The system cuts files off at a size, as a full disk does."""
    spool = Spool(tmp_path)
    spool.append(record(1), NOW)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        spool.append(record(2), NOW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    spool.append(record(3), NOW)
    assert values(spool) == [1, 2, 3]
    assert values(Spool(tmp_path)) == [1, 3]  # what stood in memory alone is gone with it
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []
