"""The agent's reading of a configuration, held against the collector's models."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.config import AgentConfig, ConfigError, parse_config
from agent.configuration import Configuration
from agent.state import StateFolder, encode
from protocol import models, wire

GOLDEN = Path("protocol/examples/config.response.json")
SECRET = "s3cret-community"
FULL: dict[str, Any] = {
    "push_interval_seconds": 30,
    "probe_intervals_seconds": {"smart": 21_600},
    "probes_off": ["temperature"],
    "services": ["nginx", "postgresql@15-main"],
    "custom_checks": [
        {"name": "root", "command": ["/usr/lib/nagios/plugins/check_disk", "-p", "/"], "interval_seconds": 300.0},
    ],
    "presence_policy": "always",
    "printers": [
        {"device_id": "prn-hall-m4q2", "host": "192.0.2.31", "snmp": {"version": "2c", "community": SECRET}},
        {"device_id": "prn-desk-a1b2", "host": "printer.example", "ipp": {"port": 443, "tls": True}},
        {"device_id": "prn-v3-c3d4", "host": "192.0.2.33", "snmp": {"version": "3", "user": "q", "auth": "sha256",
                                                                    "auth_password": "12345678"}},
    ],
    "privacy": {"user_names": False, "software": True},
    "agent": None,
    "of_a_later_version": {"x": 1},
}  # fmt: skip


def changed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(FULL))
    change(content)
    return content


def as_model_sees(content: dict[str, Any]) -> AgentConfig:
    """The same, read by the models."""
    told = models.Config.model_validate_json(json.dumps(content)).model_dump(mode="json")
    return AgentConfig(
        push_interval_seconds=told["push_interval_seconds"],
        probe_intervals_seconds=told["probe_intervals_seconds"],
        probes_off=frozenset(told["probes_off"]),
        services=tuple(told["services"]),
        custom_checks=tuple(told["custom_checks"]),
        printers=tuple(told["printers"]),
        privacy=told["privacy"],
    )


def test_a_whole_configuration_is_read_as_the_models_read_it() -> None:
    config = parse_config(FULL)
    assert config == as_model_sees(FULL)
    assert config.printers[1]["ipp"] == {"port": 443, "path": "/ipp/print", "tls": True}
    assert config.privacy == {"user_names": False, "software": True}
    golden = json.loads(GOLDEN.read_bytes())
    assert parse_config(golden) == as_model_sees(golden)


def test_what_is_null_or_missing_is_the_default() -> None:
    assert parse_config({}) == parse_config(dict.fromkeys(FULL)) == AgentConfig()


BAD: list[tuple[str, Callable[[dict[str, Any]], None]]] = [
    ("push_interval_seconds", lambda it: it.update(push_interval_seconds=0)),
    ("push_interval_seconds", lambda it: it.update(push_interval_seconds="60")),
    ("push_interval_seconds", lambda it: it.update(push_interval_seconds=True)),
    ("probe_intervals_seconds", lambda it: it.update(probe_intervals_seconds=[])),
    ("probe_intervals_seconds.cpu", lambda it: it.update(probe_intervals_seconds={"cpu": -1})),
    ("probes_off", lambda it: it.update(probes_off="cpu")),
    ("probes_off", lambda it: it.update(probes_off=["x"] * (wire.MAX_PROBES_OFF + 1))),
    ("services", lambda it: it.update(services=["--all"])),
    ("services", lambda it: it.update(services=["a b"])),
    ("services", lambda it: it.update(services=["nginx\n"])),
    ("services", lambda it: it.update(services=["*"])),
    ("custom_checks", lambda it: it.update(custom_checks=[7])),
    ("custom_checks.0.name", lambda it: it["custom_checks"][0].update(name="../x")),
    ("custom_checks.0.command", lambda it: it["custom_checks"][0].update(command=[])),
    ("custom_checks.0.command", lambda it: it["custom_checks"][0].update(command=["x" * 1001])),
    ("custom_checks.0.interval_seconds", lambda it: it["custom_checks"][0].update(interval_seconds=1)),
    ("custom_checks.0.timeout_seconds", lambda it: it["custom_checks"][0].update(timeout_seconds=3600)),
    ("printers", lambda it: it.update(printers={"host": "x"})),
    ("printers.0.host", lambda it: it["printers"][0].pop("host")),
    ("printers.0.snmp", lambda it: it["printers"][0].update(snmp="public")),
    ("printers.0.snmp.version", lambda it: it["printers"][0]["snmp"].update(version="4")),
    ("printers.0.snmp.port", lambda it: it["printers"][0]["snmp"].update(port=65_536)),
    ("printers.0.snmp.community", lambda it: it["printers"][0]["snmp"].update(community=SECRET * 100)),
    ("printers.2.snmp.auth", lambda it: it["printers"][2]["snmp"].update(auth=SECRET)),
    ("printers.1.ipp.path", lambda it: it["printers"][1]["ipp"].update(path="x")),
    ("printers.1.ipp.tls", lambda it: it["printers"][1]["ipp"].update(tls="yes")),
    ("privacy.software", lambda it: it.update(privacy={"software": 1})),
]


@pytest.mark.parametrize(("field", "change"), BAD, ids=[f"{number} {field}" for number, (field, _) in enumerate(BAD)])
def test_what_is_wrong_is_refused_whole_naming_the_field_and_no_secret(
    field: str, change: Callable[[dict[str, Any]], None]
) -> None:
    content = changed(change)
    with pytest.raises(ConfigError) as refused:
        parse_config(content)
    assert str(refused.value).startswith(f"{field} ")
    assert SECRET not in str(refused.value)
    with pytest.raises(ValidationError):
        models.Config.model_validate_json(json.dumps(content))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*FULL, "name", "host"]), inner),
    max_leaves=10,
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from([*FULL]), ANYTHING))
def test_whatever_comes_is_read_or_refused(content: dict[str, object]) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(parse_config(content), AgentConfig)


@pytest.mark.parametrize("etag", ["€", "a\r\nX: 1", 'a"b', 7])
def test_what_was_kept_under_no_etag_holds_and_is_asked_for_anew(tmp_path: Path, etag: object) -> None:
    """It would go into a header at each start, and no header takes it."""
    folder = StateFolder(tmp_path)
    folder.config_path.write_bytes(encode({"etag": etag, "config": FULL}))
    configuration = Configuration(folder, lambda *_: None)
    assert configuration.etag == ""
    assert configuration.current.push_interval_seconds == 30.0
    folder.config_path.write_bytes(encode({"etag": "third", "config": FULL}))
    assert Configuration(folder, lambda *_: None).etag == "third"
