from pathlib import Path

import pytest

from collector.catalogue import PATH, make_catalogue
from collector.config import ConfigError, ListenAddress, Settings, load_settings


def refused(data: Path, **given: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(data, **given)  # type: ignore[arg-type]
    return str(caught.value)


def test_without_a_file_the_defaults_serve(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    assert (settings.listen, settings.rules_dir) == ("127.0.0.1:8420", None)
    assert settings.database == f"sqlite+aiosqlite:///{tmp_path}/quarkpulse.db"


def test_the_command_line_wins_over_the_environment_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text(
        'listen = "127.0.0.1:1"\nlookback_seconds = 100\npush_interval_seconds = 10\ntrusted_proxy = false\n'
    )
    monkeypatch.setenv("QUARKPULSE_LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("QUARKPULSE_LOOKBACK_SECONDS", "200")
    monkeypatch.setenv("QUARKPULSE_TRUSTED_PROXY", "true")
    monkeypatch.setenv("QUARKPULSE_RETENTION_DAYS", "")
    settings = load_settings(tmp_path, listen="127.0.0.1:3", rules_dir=None)
    assert settings.listen_address == ListenAddress("127.0.0.1", 3)
    assert (settings.lookback_seconds, settings.push_interval_seconds, settings.trusted_proxy) == (200, 10, True)
    assert settings.retention_days == 35


def test_another_file_may_name_the_data_folder(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f'data = "{tmp_path}/there"\n')
    assert load_settings(config=path).data == tmp_path / "there"
    assert load_settings(tmp_path / "here", path).data == tmp_path / "here"


def test_every_problem_is_told_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text('lisen = "x"\nlookback_seconds = -1\n')
    monkeypatch.setenv("QUARKPULSE_RETENTION_DAYS", "long")
    problems = sorted(refused(tmp_path, listen="8420").splitlines())
    assert [problem.split(": ")[:2] for problem in problems] == [
        [f"{tmp_path}/config.toml", "lisen"],
        [f"{tmp_path}/config.toml", "lookback_seconds"],
        ["command line", "listen"],
        ["environment", "QUARKPULSE_RETENTION_DAYS"],
    ]
    assert "did you mean listen?" in problems[0] and "HOST:PORT" in problems[2]


def test_an_unknown_variable_is_refused_like_an_unknown_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for known in ("QUARKPULSE_DATA", "QUARKPULSE_CONFIG", "QUARKPULSE_TOKEN", "QUARKPULSE_PORT_8420_TCP_ADDR"):
        monkeypatch.setenv(known, "x")
    load_settings(tmp_path)
    monkeypatch.setenv("QUARKPULSE_LISEN", "127.0.0.1:1")
    monkeypatch.setenv("QUARKPULSE_ZZZZZZ", "")
    assert refused(tmp_path).splitlines() == [
        "environment: QUARKPULSE_LISEN: is no setting; did you mean QUARKPULSE_LISTEN?",
        "environment: QUARKPULSE_ZZZZZZ: is no setting",
    ]


def test_a_file_that_is_no_toml_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("listen = \n")
    assert "line 1" in refused(tmp_path)


@pytest.mark.parametrize("listen", ["0.0.0.0:8420", "[::]:8420", "collector.example:8420"])
def test_plain_http_beyond_loopback_is_refused_unless_told(tmp_path: Path, listen: str) -> None:
    assert "allow_plain_http" in refused(tmp_path, listen=listen)
    assert load_settings(tmp_path, listen=listen, allow_plain_http=True).listen == listen
    assert load_settings(tmp_path, listen=listen, tls_certificate="c.pem", tls_key="k.pem").uses_tls


def test_half_of_tls_is_refused(tmp_path: Path) -> None:
    assert "both or neither" in refused(tmp_path, tls_key="k.pem")


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:8420", "[::1]:8420", "127.8.8.8:1"])
def test_loopback(listen: str) -> None:
    assert ListenAddress.parse(listen).is_loopback


@pytest.mark.parametrize("listen", ["", "8420", ":8420", "host:", "host:x", "host:65536", "::1:8420", "host:٣"])
def test_what_is_no_address(listen: str) -> None:
    with pytest.raises(ValueError, match="write"):
        ListenAddress.parse(listen)


def test_a_password_stays_out_of_repr(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, database_url="postgresql://me:hunter2@db/x")
    assert "hunter2" not in repr(settings)
    assert settings.database == "postgresql://me:hunter2@db/x"
    assert "hunter2" not in refused(tmp_path, database_url=["hunter2"])


def test_every_setting_is_told_of_and_can_come_from_the_environment() -> None:
    for name, field in Settings.model_fields.items():
        assert name.isidentifier() and name == name.lower()
        assert field.description and field.description.endswith(".")


def test_the_page_of_settings_is_up_to_date() -> None:
    assert PATH.read_text(encoding="utf-8") == make_catalogue(), "run `python -m collector.catalogue`"
