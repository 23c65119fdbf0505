"""The log: what is damaged costs no more than itself, and what is old goes."""

import os
from pathlib import Path

import pytest

from collector.series.catalog import Catalog, DeviceFrame, Layout, pack_values
from collector.series.labels import Target
from collector.series.log.files import (
    LOG_START,
    Position,
    delete_old_segments,
    segment_numbers,
    segment_path,
    segments_since,
)
from collector.series.log.format import LogFormatError
from collector.series.log.reader import ReadDamage, SegmentReader
from collector.series.log.writer import LogWriteError, LogWriter

NOW = 1_700_000_000_000
HOUR_MS = 3_600_000


def layout(catalog: Catalog, device: str = "pc", names: str = "ab") -> Layout:
    return catalog.layout(Target(device, "acme", "hq", "server"), catalog.series((name, ()) for name in names))


def frame(of: Layout, t: int) -> DeviceFrame:
    return DeviceFrame(of, t, t, pack_values([float(t), None]))


def writer(folder: Path, segment_bytes: int = 1 << 20) -> LogWriter:
    return LogWriter.open(folder, LOG_START, segment_bytes=segment_bytes, segment_milliseconds=HOUR_MS)


def read(folder: Path, number: int = 1, start: int = 0) -> tuple[list[int], ReadDamage]:
    damage = ReadDamage()
    segment = SegmentReader(folder, number, Catalog(), damage)
    return [one.t for batch in segment.batches(start) for one in batch.frames], damage


def test_each_segment_can_be_read_alone(tmp_path: Path) -> None:
    catalog = Catalog()
    log = writer(tmp_path, segment_bytes=1)
    for t in (1, 2, 3):
        log.append([frame(layout(catalog), t)], [], NOW)
    log.close()
    assert segment_numbers(tmp_path) == [1, 2, 3]
    (tmp_path / "0000000001.seg").unlink()
    (batch,) = SegmentReader(tmp_path, 3, Catalog(), ReadDamage()).batches()
    (read_back,) = batch.frames
    assert read_back.layout.target == Target("pc", "acme", "hq", "server")
    assert [one.name for one in read_back.layout.series.templates] == ["a", "b"]
    assert (read_back.t, read_back.values) == (3, pack_values([3.0, None]))


def test_a_torn_tail_costs_only_itself_wherever_it_is_torn(tmp_path: Path) -> None:
    catalog = Catalog()
    log = writer(tmp_path)
    pc = layout(catalog)
    log.append([frame(pc, 1)], [], NOW)
    sound = log.position.offset
    log.append([frame(pc, 2)], [], NOW)
    log.close()
    path = segment_path(tmp_path, 1)
    whole = path.read_bytes()
    for size in range(sound, len(whole)):
        path.write_bytes(whole[:size])
        times, damage = read(tmp_path)
        assert times == [1]
        assert damage.torn_bytes == size - sound


def test_a_flipped_byte_costs_only_its_record(tmp_path: Path) -> None:
    catalog = Catalog()
    log = writer(tmp_path)
    ends = []
    pc = layout(catalog)
    for t in (1, 2, 3):
        log.append([frame(pc, t)], [], NOW)
        ends.append(log.position.offset)
    log.close()
    path = segment_path(tmp_path, 1)
    whole = path.read_bytes()
    for place in range(ends[0], ends[1]):
        path.write_bytes(whole[:place] + bytes((whole[place] ^ 0x40,)) + whole[place + 1 :])
        times, damage = read(tmp_path)
        assert times == [1, 3]
        assert damage.damaged_bytes == ends[1] - ends[0]


def test_reading_can_begin_in_the_middle(tmp_path: Path) -> None:
    catalog = Catalog()
    log = writer(tmp_path)
    log.append([frame(layout(catalog), 1)], [], NOW)
    middle = log.position
    log.append([frame(layout(catalog), 2)], [], NOW)
    log.close()
    assert read(tmp_path, start=middle.offset)[0] == [2]


def test_a_file_that_is_no_segment_is_refused(tmp_path: Path) -> None:
    segment_path(tmp_path, 1).write_bytes(b"#!/bin/sh\necho not a segment at all\n")
    with pytest.raises(LogFormatError, match="is not a segment"):
        read(tmp_path)


def test_a_failed_fsync_leaves_the_segment_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog()
    log = writer(tmp_path)
    log.append([frame(layout(catalog), 1)], [], NOW)

    def broken(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(LogWriteError, match="Input/output error"):
            log.append([frame(layout(catalog), 2)], [], NOW)
    log.append([frame(layout(catalog), 3)], [], NOW)
    log.close()
    assert segment_numbers(tmp_path) == [1, 2]
    assert read(tmp_path, 2)[0] == [3]


def test_old_segments_go_but_never_what_a_start_needs(tmp_path: Path) -> None:
    catalog = Catalog()
    log = writer(tmp_path, segment_bytes=1)
    for hour in range(5):
        log.append([frame(layout(catalog), hour)], [], NOW + hour * HOUR_MS)
    log.close()
    assert segments_since(tmp_path, LOG_START, NOW + int(2.5 * HOUR_MS)) == [3, 4, 5]
    assert segments_since(tmp_path, Position(4, 0), NOW) == [4, 5]
    size = segment_path(tmp_path, 5).stat().st_size
    assert delete_old_segments(tmp_path, keep=Position(2, 0), oldest=NOW + 9 * HOUR_MS, max_bytes=1 << 30) == 1
    assert delete_old_segments(tmp_path, keep=Position(9, 0), oldest=NOW + 2 * HOUR_MS, max_bytes=1 << 30) == 0
    assert delete_old_segments(tmp_path, keep=Position(9, 0), oldest=NOW + 3 * HOUR_MS, max_bytes=1 << 30) == 1
    assert segment_numbers(tmp_path) == [3, 4, 5]
    assert delete_old_segments(tmp_path, keep=Position(9, 0), oldest=NOW, max_bytes=2 * size) == 1
    assert segment_numbers(tmp_path) == [4, 5]


def test_long_definitions_are_compressed_and_plain_ones_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog()
    series = catalog.series(("m", (("label", f"{'x' * 400}{n}"),)) for n in range(1_000))
    of = catalog.layout(Target("pc", "acme", "hq", "server"), series)
    big = DeviceFrame(of, 1, 1, pack_values([1.0] * 1_000))
    log = writer(tmp_path)
    log.append([big], [], NOW)
    log.close()
    monkeypatch.setattr("collector.series.log.writer.COMPRESSED_FROM_BYTES", 1 << 30)
    log = writer(tmp_path)
    log.append([big], [], NOW)
    log.close()
    sizes = [segment_path(tmp_path, number).stat().st_size for number in (1, 2)]
    assert 10 * sizes[0] < sizes[1]
    for number in (1, 2):
        (batch,) = SegmentReader(tmp_path, number, Catalog(), ReadDamage()).batches()
        assert batch.frames[0].layout.series.templates[999].labels == (("label", f"{'x' * 400}999"),)


def test_definitions_come_in_records_of_bounded_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.series.log.writer.MAX_SERIES_PER_RECORD", 3)
    catalog = Catalog()
    frames = [frame(layout(catalog, names=names), t) for t, names in enumerate(("ab", "cd", "ba", "ef"))]
    log = writer(tmp_path)
    log.append(frames, [], NOW)
    log.close()
    times, damage = read(tmp_path)
    assert (times, damage) == ([0, 1, 2, 3], ReadDamage())


def test_a_failed_disk_is_tried_again_ever_more_rarely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog()
    log = writer(tmp_path)
    now = 0.0
    attempts: list[float] = []

    def broken(_descriptor: int) -> None:
        attempts.append(now)
        raise OSError(5, "Input/output error")

    log.monotonic = lambda: now
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        for _ in range(300):
            with pytest.raises(LogWriteError):
                log.append([frame(layout(catalog), 1)], [], NOW)
            now += 0.1
    assert segment_numbers(tmp_path) == []
    assert 8 <= len(attempts) <= 12
    now += 5.0
    log.append([frame(layout(catalog), 2)], [], NOW)
    log.close()
    (number,) = segment_numbers(tmp_path)
    assert read(tmp_path, number)[0] == [2]
