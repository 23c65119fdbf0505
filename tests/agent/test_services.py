"""Services from recorded outputs of systemctl and launchctl (the one of systemd 252 is real, of a booted Debian 12)."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import AgentConfig
from agent.probes.base import ProbeUnavailable, Sample
from agent.probes.services import (
    MAX_FAILED,
    ServiceProbe,
    ServiceReading,
    judge_launchd,
    parse_failed,
    parse_units,
    read_services,
)
from agent.settings import Section, SettingsError

DATA = Path(__file__).parent / "data"


def recorded(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8")


def test_failed_units_as_systemctl_lists_them() -> None:
    assert parse_failed(recorded("systemctl.failed")) == ["mnt-my\\x2ddata.mount", "backup-job.service"]
    assert parse_failed("") == []


def test_units_as_systemctl_shows_them_one_for_each_that_was_asked_for() -> None:
    cron, broken, missing = parse_units(recorded("systemctl.show"))
    assert (cron.name, cron.is_up, cron.is_failed) == ("cron.service", True, False)
    assert (broken.name, broken.is_up, broken.is_failed) == ("backup-job.service", False, True)
    assert broken.changed_at > 0
    assert (missing.name, missing.is_up, missing.is_failed) == ("not-there.service", False, False)


def test_what_is_watched_is_up_or_not_and_what_failed_is_listed() -> None:
    asked: list[tuple[str, ...]] = []

    def read(watched: object) -> ServiceReading:
        asked.append(tuple(watched))  # type: ignore[arg-type]
        return ServiceReading({"nginx": True, "postgresql@15-main": False}, ["old", "new"], 2)

    probe = ServiceProbe(["nginx", "postgresql@15-main", "nginx"], read)
    assert probe.sample() == [
        Sample("service_up", 1, {"service_name": "nginx"}),
        Sample("service_up", 0, {"service_name": "postgresql@15-main"}),
        Sample("service_failed", 1, {"service_name": "old"}),
        Sample("service_failed", 1, {"service_name": "new"}),
        Sample("service_failed_count", 2),
    ]
    probe.configure(AgentConfig(services=("cron", "nginx")))
    probe.sample()
    probe.configure(AgentConfig())
    probe.sample()
    own = ("nginx", "postgresql@15-main")
    assert asked == [own, (*own, "cron"), own]


def test_a_thousand_failures_are_counted_and_the_oldest_named() -> None:
    names = [f"job-{number}" for number in range(1000)]
    samples = ServiceProbe(read=lambda _: ServiceReading({}, names, 1000)).sample()
    assert [sample.labels["service_name"] for sample in samples[:-1]] == names[:MAX_FAILED]
    assert samples[-1].value == 1000


def test_windows_knows_no_failed_services() -> None:
    samples = ServiceProbe(read=lambda _: ServiceReading({"Spooler": True}, [], None)).sample()
    assert samples == [Sample("service_up", 1, {"service_name": "Spooler"})]


def test_launchd_as_it_lists_its_jobs() -> None:
    watched = ["com.openssh.sshd", "com.example.backup", "com.example.idle", "com.example.gone"]
    assert judge_launchd(recorded("launchctl.list"), watched) == ServiceReading(
        {"com.openssh.sshd": True, "com.example.backup": False, "com.example.idle": False, "com.example.gone": False},
        ["com.example.backup"],
        1,
    )


def test_a_machine_without_systemd_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("agent.probes.services.SYSTEMD", tmp_path / "none")
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(ProbeUnavailable, match="systemd does not run this machine"):
        read_services([])


@given(st.text(max_size=300))
def test_any_text_is_borne(text: str) -> None:
    parse_failed(text)
    parse_units(text)
    judge_launchd(text, ["x"])


@pytest.mark.parametrize("name", ["--root=/tmp", "a b", "ssh*", "[x]"])
def test_only_names_are_watched(name: str) -> None:
    section = Section({"watch": [name]}, "agent.toml: services")
    ServiceProbe.from_settings(section)
    with pytest.raises(SettingsError, match=r"agent\.toml: services\.watch: must be names of services"):
        section.finish()
