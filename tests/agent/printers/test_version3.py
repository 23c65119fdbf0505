"""SNMP version 3 against Debian's snmpd, by the real command: the right keys read, wrong ones are said to be wrong."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.conftest import AGENT
from tests.agent.printers.snmpd import running_snmpd

PASSWORD, SECRET = "authentic8", "in-private8"
USERS = {
    ("sha1", "aes128"): f"sha1aes SHA {PASSWORD} AES {SECRET}",
    ("md5", "des"): f"md5des MD5 {PASSWORD} DES {SECRET}",
    ("sha256", "aes128"): f"sha256aes SHA-256 {PASSWORD} AES {SECRET}",
    ("sha512", "aes256"): f"sha512aes SHA-512 {PASSWORD} AES256 {SECRET}",
    ("sha256", None): f"sha256only SHA-256 {PASSWORD}",
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_snmpd(tmp_path_factory.mktemp("snmpd"), list(USERS.values())) as port:
        yield port


def read(port: int, user: str, auth: str, privacy: str | None, *secrets: str) -> "subprocess.CompletedProcess[str]":
    command = [AGENT, "printers", "read", "127.0.0.1", "--port", str(port), "--json", "--user", user, "--auth", auth]
    names = ("QUARKPULSE_SNMP_AUTH_PASSWORD", "QUARKPULSE_SNMP_PRIVACY_PASSWORD")
    environment = os.environ | dict(zip(names, secrets, strict=True))
    command += ["--privacy", privacy] if privacy else []
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("auth", "privacy"), USERS)
def test_the_right_keys_read(port: int, auth: str, privacy: str | None) -> None:
    user = USERS[auth, privacy].split()[0]
    done = read(port, user, auth, privacy, PASSWORD, SECRET)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["model"] == "A printer with secrets"
    assert found["error_states"] == ["noPaper"]
    assert [(one["description"], one["ratio"]) for one in found["supplies"]] == [("Black Toner", 0.42)]


@pytest.mark.parametrize(
    ("user", "auth", "privacy", "secrets"),
    [
        pytest.param("sha1aes", "sha1", "aes128", ("wrong-one8", SECRET), id="wrong password"),
        pytest.param("sha1aes", "sha1", "aes128", (PASSWORD, "wrong-one8"), id="wrong privacy password"),
        pytest.param("sha1aes", "sha256", "aes128", (PASSWORD, SECRET), id="wrong algorithm"),
        pytest.param("nobody", "sha1", "aes128", (PASSWORD, SECRET), id="wrong user"),
        pytest.param("sha256only", "sha256", "aes128", (PASSWORD, SECRET), id="privacy that it has not"),
    ],
)
def test_wrong_keys_are_said_to_be_wrong(
    port: int, user: str, auth: str, privacy: str, secrets: tuple[str, str]
) -> None:
    done = read(port, user, auth, privacy, *secrets)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"answers, and refuses the user '{user}': check the name, the passwords and the algorithms" in done.stderr
    assert not any(secret in done.stderr for secret in secrets)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--version", "3"], "SNMP version 3 asks as a user: name one"),
        (["--user", "u", "--auth", "sha1"], "the password for authentication must have at least 8 characters"),
        (["--user", "u", "--privacy", "aes128"], "there is no privacy without authentication"),
        (["--ipp", "http://127.0.0.1"], "--ipp must look like ipp://"),
        (["--port", "0"], "port must be 1 to 65535"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(options: list[str], reason: str) -> None:
    command = [AGENT, "printers", "read", "127.0.0.1", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert reason in done.stderr


def test_passwords_come_from_files_too(port: int, tmp_path: Path) -> None:
    (tmp_path / "auth").write_text(f"{PASSWORD}\n")
    (tmp_path / "privacy").write_text(f"{SECRET}\n")
    options = ["--user", "sha1aes", "--auth", "sha1", "--auth-password-file", str(tmp_path / "auth")]
    options += ["--privacy", "aes128", "--privacy-password-file", str(tmp_path / "privacy")]
    command = [AGENT, "printers", "read", "127.0.0.1", "--port", str(port), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Black Toner: 42% (ok)" in done.stdout
