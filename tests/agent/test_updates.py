"""Updates: apt for real where it is, and recorded outputs of apt, dnf, Windows Update and softwareupdate."""

import contextlib
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes import linux_updates
from agent.probes.base import ProbeFailed, ProbeUnavailable, Sample
from agent.probes.linux_updates import (
    count_apt,
    count_dnf_lines,
    read_linux_updates,
    read_reboot_required,
)
from agent.probes.readings import UpdateReading
from agent.probes.softwareupdate import judge_softwareupdate, parse_defaults_date
from agent.probes.updates import UpdateProbe
from agent.probes.windows_update import judge_windows_update

DATA = Path(__file__).parent / "data"
SECURITY = "0fa1201d-4330-4fa8-8ae9-b877473b6441"
DEFINITIONS = "e0789628-ce08-4437-be74-2495b842f43b"


def recorded(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8")


def test_ages_are_counted_from_now_and_are_never_negative() -> None:
    reading = UpdateReading(3, 4, True, 1000.0, index_at=5000.0, installed_at=9e9)
    assert UpdateProbe(lambda: reading, lambda: 6000.0).sample() == [
        Sample("update_pending", 3, {"update_type": "security"}),
        Sample("update_pending", 4, {"update_type": "other"}),
        Sample("update_reboot_required", 1),
        Sample("update_reboot_required_seconds", 5000.0),
        Sample("update_index_age_seconds", 1000.0),
        Sample("update_last_installed_age_seconds", 0.0),
    ]


def test_what_is_not_told_is_absent_and_no_restart_due_is_zero() -> None:
    assert UpdateProbe(UpdateReading).sample() == []
    samples = UpdateProbe(lambda: UpdateReading(reboot_required=False)).sample()
    assert [sample.value for sample in samples] == [0, 0.0]
    unknown_since = UpdateProbe(lambda: UpdateReading(reboot_required=True)).sample()
    assert [sample.name for sample in unknown_since] == ["update_reboot_required"]


def test_apt_tells_security_updates_by_their_origin_and_new_packages_are_no_updates() -> None:
    assert count_apt(recorded("apt.upgrade")) == (3, 2)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt")
def test_the_apt_of_this_machine_is_understood() -> None:
    reading = read_linux_updates()
    assert reading.security is not None and reading.other is not None
    assert reading.security >= 0 and reading.other >= 0
    assert reading.reboot_required is not None


def test_dnf_counts_packages_but_not_what_they_replace() -> None:
    assert count_dnf_lines(recorded("dnf.check-update")) == 4


def test_dnf_that_cannot_tell_is_a_failed_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root/var/lib/rpm").mkdir(parents=True)
    dnf = tmp_path / "dnf"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for script, expected in (("exit 0", (0, 0)), (f"cat {DATA}/dnf.check-update; exit 100", (4, 0))):
        dnf.write_text(f"#!/bin/sh\n{script}\n")
        dnf.chmod(0o755)
        assert read_linux_updates(tmp_path / "root")[:2] == expected
    dnf.write_text("#!/bin/sh\necho 'Fehler: Cache-only enabled but no cache'; exit 1\n")
    with pytest.raises(ProbeFailed, match="check-update ended with exit code 1"):
        read_linux_updates(tmp_path / "root")


def test_apt_that_cannot_tell_is_a_failed_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").touch()
    monkeypatch.setattr(linux_updates, "APT_SIMULATION", ("sh", "-c", "echo E: broken packages; exit 100"))
    with pytest.raises(ProbeFailed, match="exit code 100"):
        read_linux_updates(tmp_path)


def test_a_machine_without_packages_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProbeUnavailable, match="neither apt nor dnf"):
        read_linux_updates(tmp_path)


def test_a_restart_is_due_by_the_packages_mark_or_by_a_new_kernel(tmp_path: Path) -> None:
    assert read_reboot_required(tmp_path) == (False, None)
    (tmp_path / "boot").mkdir()
    kernel = tmp_path / "boot/vmlinuz-6.1.0-28-amd64"
    kernel.touch()
    os.utime(kernel, (1000, 1000))  # made long ago, installed now
    installed_at = kernel.stat().st_ctime
    assert read_reboot_required(tmp_path, booted_at=installed_at + 1) == (False, None)
    assert read_reboot_required(tmp_path, booted_at=installed_at - 1) == (True, installed_at)
    (tmp_path / ".dockerenv").touch()
    assert read_reboot_required(tmp_path, booted_at=installed_at - 1) == (False, None)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/reboot-required").touch()
    os.utime(tmp_path / "run/reboot-required", (2000, 2000))
    assert read_reboot_required(tmp_path) == (True, 2000.0)


def test_windows_update_by_category() -> None:
    content = {
        "updates": [
            {"categories": [SECURITY.upper(), "other"]},
            {"categories": SECURITY},
            {"categories": [DEFINITIONS]},
            {"categories": None},
        ],
        "reboot_required": True,
        "searched": 1_790_000_000,
        "installed": "/Date(1789000000000)/",
    }
    assert judge_windows_update(json.loads(json.dumps(content))) == UpdateReading(
        2, 2, True, None, 1_790_000_000.0, 1_789_000_000.0
    )


def test_windows_update_with_one_update_or_none_and_dates_of_never() -> None:
    one = {
        "updates": {"categories": [SECURITY]},
        "reboot_required": False,
        "searched": -2_209_161_600,
        "installed": None,
    }
    assert judge_windows_update(one) == UpdateReading(1, 0, False)
    assert judge_windows_update({"updates": []}) == UpdateReading(0, 0)
    refused: tuple[object, ...] = (None, [], "x", {}, {"error": "0x8024402C"})
    for garbage in refused:
        with pytest.raises(ProbeFailed):
            judge_windows_update(garbage)


def test_softwareupdate() -> None:
    reading = judge_softwareupdate(recorded("softwareupdate.list"), "2026-05-14 08:12:11 +0000\n")
    assert reading == UpdateReading(security=2, other=1, index_at=1778746331.0)
    none = judge_softwareupdate("Software Update Tool\n\nNo new software available.\n", "does not exist")
    assert none == UpdateReading(security=0, other=0)


@given(st.text(max_size=300))
def test_any_text_is_borne(text: str) -> None:
    count_apt(text)
    count_dnf_lines(text)
    judge_softwareupdate(text, text)
    assert parse_defaults_date(text) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["updates", "categories", "reboot_required", "searched"]), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(JSON)
def test_any_json_is_borne(content: object) -> None:
    with contextlib.suppress(ProbeFailed):
        judge_windows_update(content)
