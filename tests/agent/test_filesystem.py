import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.probes.base import ProbeUnavailable
from agent.probes.filesystem import (
    FilesystemProbe,
    Mount,
    RemoteLook,
    Usage,
    parse_mountinfo,
    read_usage,
    worth_looking_at,
)
from tests.agent.running import await_threads

DATA = Path(__file__).parent / "data"
USAGE = Usage(total=1000, free=300, reserved=100, inodes=50, inodes_free=20)


def mountpoints(name: str) -> list[str]:
    text = (DATA / name).read_text(encoding="utf-8")
    return [mount.mountpoint for mount in worth_looking_at(parse_mountinfo(text))]


def mount(mountpoint: str, type: str = "ext4") -> Mount:  # noqa: A002 - the field's name
    return Mount(mountpoint, True, mountpoint, type, f"/dev{mountpoint}", True)


def test_of_a_desktop_only_what_people_can_fill_is_looked_at() -> None:
    assert mountpoints("mountinfo.desktop") == [
        "/",
        "/boot",
        "/boot/efi",
        "/home",
        "/media/anna/USB STICK",
        "/mnt/nas",
        "/run",
        "/tmp",
    ]


def test_of_a_container_its_overlay_is_looked_at_and_the_files_in_etc_are_not() -> None:
    text = (DATA / "mountinfo.container").read_text(encoding="utf-8")
    folders = {"/", "/data"}
    probe = FilesystemProbe(lambda: parse_mountinfo(text), lambda path: USAGE if path in folders else None)
    assert {sample.labels["system_filesystem_mountpoint"] for sample in probe.sample()} == folders


def test_a_mount_over_another_hides_it() -> None:
    below, above = mount("/data"), mount("/data", "xfs")._replace(identity="9:9")
    assert worth_looking_at([below, above]) == [above]


def test_space_and_inodes_by_state() -> None:
    probe = FilesystemProbe(lambda: [mount("/")], lambda _: USAGE)
    found = {(sample.name, sample.labels.get("system_filesystem_state")): sample.value for sample in probe.sample()}
    assert found == {
        ("system_filesystem_limit_bytes", None): 1000,
        ("system_filesystem_usage_bytes", "used"): 600,
        ("system_filesystem_usage_bytes", "free"): 300,
        ("system_filesystem_usage_bytes", "reserved"): 100,
        ("system_filesystem_utilization_ratio", "used"): 0.6,
        ("system_filesystem_utilization_ratio", "free"): 0.3,
        ("system_filesystem_utilization_ratio", "reserved"): 0.1,
        ("system_filesystem_inodes_usage", "used"): 30,
        ("system_filesystem_inodes_usage", "free"): 20,
        ("system_filesystem_inodes_utilization_ratio", "used"): 0.6,
        ("system_filesystem_inodes_utilization_ratio", "free"): 0.4,
    }


def test_one_file_system_in_error_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def read(path: str) -> Usage:
        if path == "/broken":
            raise OSError(errno.EIO, "Input/output error")
        return USAGE

    probe = FilesystemProbe(lambda: [mount("/"), mount("/broken")], read)
    for _ in range(3):
        assert {sample.labels["system_filesystem_mountpoint"] for sample in probe.sample()} == {"/"}
    assert len(caplog.records) == 1


def test_a_machine_without_any_says_so() -> None:
    with pytest.raises(ProbeUnavailable):
        FilesystemProbe(list, lambda _: USAGE).sample()


@pytest.fixture
def dead_server(tmp_path: Path) -> Iterator[tuple[Callable[[str], Usage | None], Callable[[], None], list[str]]]:
    """Reading `/mnt/dead` really hangs, in the kernel: it opens a pipe that nobody writes to, until `revive`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    asked: list[str] = []
    revived = threading.Event()

    def read(path: str) -> Usage | None:
        asked.append(path)
        if path == "/mnt/dead" and not revived.is_set():
            with pipe.open("rb"):
                pass
        return USAGE

    def revive() -> None:
        if not revived.is_set():
            revived.set()
            with pipe.open("wb"):
                pass

    yield read, revive, asked
    revive()


def test_a_hanging_network_mount_hides_no_other_and_keeps_one_thread(
    dead_server: tuple[Callable[[str], Usage | None], Callable[[], None], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(look: RemoteLook, seconds: float) -> bool:
        """A busy machine may be late with those that do not hang, too."""
        return look._done.wait(seconds if look._mountpoint == "/mnt/dead" else 60.0)

    monkeypatch.setattr(RemoteLook, "wait", wait)
    read, revive, asked = dead_server
    mounts = [mount("/"), mount("/mnt/dead", "nfs4"), mount("/mnt/nas", "cifs"), mount("/mnt/ssh", "fuse.sshfs")]
    probe = FilesystemProbe(lambda: mounts, read, remote_timeout_seconds=0.1)
    before = set(threading.enumerate())
    for _ in range(3):
        seen = {sample.labels["system_filesystem_mountpoint"] for sample in probe.sample()}
        assert seen == {"/", "/mnt/nas", "/mnt/ssh"}
    await_threads(1, before=before)
    assert asked.count("/mnt/dead") == 1
    revive()
    patient = FilesystemProbe(lambda: mounts, read, remote_timeout_seconds=60.0)
    assert "/mnt/dead" in {sample.labels["system_filesystem_mountpoint"] for sample in patient.sample()}


def test_real_usage_of_this_machine_agrees_with_itself(tmp_path: Path) -> None:
    usage = read_usage(str(tmp_path))
    assert usage is not None
    assert usage.total >= usage.free + usage.reserved > 0
    file = tmp_path / "file"
    file.touch()
    assert read_usage(str(file)) is None
