import json
import logging
import zlib
from pathlib import Path

import pytest

from agent.spool import RESERVE, Limits, Record, Spool, compress
from protocol.wire import Frame, Layout, Series, layout_id

NOW = 1_796_000_000_000
SERIES = [Series(name="system_uptime_seconds", labels={})]


def record(value: float, t: int = NOW) -> Record:
    layout = Layout(id=layout_id(SERIES), series=SERIES)
    return Record(layouts=[layout], frames=[Frame(layout=layout["id"], t=t, v=[value])], events=[])


def values(spool: Spool) -> list[float | None]:
    found = [spool.read(seq) for seq in spool.oldest(1000)]
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
        compress(b"[" * 100_000),
    ],
    ids=["empty", "garbage", "cut short", "no record", "no layout", "no frame", "too deep"],
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
    spool = Spool(tmp_path / "two", Limits(bytes=one.bytes * 3))
    for value in range(5):
        spool.append(record(value), NOW)
    assert values(spool) == [2, 3, 4]
    assert spool.bytes <= one.bytes * 3


def test_what_is_older_than_a_week_goes(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(record(0), NOW - 8 * 86_400_000)
    spool.append(record(1), NOW - 6 * 86_400_000)
    spool.append(record(2), NOW)
    assert values(spool) == [1, 2]
    assert spool.dropped == 1


def test_the_folder_of_what_is_set_aside_is_bounded(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Limits(aside_records=2))
    for value in range(5):
        spool.set_aside(spool.append(record(value), NOW))
    assert len(list((tmp_path / "aside").iterdir())) == 2
    assert spool.set_aside_total == 5
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
    assert values(spool)[-4:] == [3, 4, 5, 6]
    spool.remove(seq)
    assert values(spool)[-3:] == [3, 4, 5]
    assert spool.id == kept_id


def test_a_spool_that_cannot_note_its_numbers_takes_a_new_id(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    first, second = Spool(tmp_path / "file"), Spool(tmp_path / "file")
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
