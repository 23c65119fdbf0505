"""The packages themselves: the same bytes at each build, whole without anything around them, as Debian wants them."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import VERSION
from agent.service.systemd import HARDWARE, unit_text
from agent.service.systemd import NAME as UNIT
from deploy.pack.archive import write_archive
from deploy.pack.debian import build_deb
from deploy.pack.interpreter import SYSTEM_LIBRARIES
from deploy.pack.manual import manual_page
from deploy.pack.tree import PLACE, build_tree
from tests.conftest import require
from tests.e2e.packages import QUICKLY, Packages

LIBRARY_FOLDERS = ("/lib64", "/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib")
IN_AN_EMPTY_ROOT = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
LOAD_ALL = (
    "import ssl, psutil, pydantic, gufo.snmp, zeroconf, prometheus_client.parser, zoneinfo; print(ssl.OPENSSL_VERSION)"
)


@pytest.fixture
def other_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.slow
@pytest.mark.usefixtures("other_umask")
def test_two_builds_are_the_same_in_every_bit(packages: Packages, tmp_path: Path) -> None:
    """In another folder, at another time, under another umask."""
    date = packages.date
    again = tmp_path / "elsewhere" / "tree"
    build_tree(again, date)
    archives = [tmp_path / "one.tar.gz", tmp_path / "two.tar.gz"]
    for tree, archive in zip((packages.tree, again), archives, strict=True):
        write_archive(tree, archive, "quarkpulse-agent", date, compression=1)
    assert archives[0].read_bytes() == archives[1].read_bytes()
    assert build_deb(again, VERSION, tmp_path, date, compression=QUICKLY).read_bytes() == packages.this.read_bytes()


@pytest.mark.slow
@pytest.mark.needs_root
def test_the_bundle_runs_where_there_is_nothing_but_the_c_library(packages: Packages, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(packages.tree, root / "anywhere")
    (root / "proc").mkdir()
    for folder in LIBRARY_FOLDERS:
        for name in SYSTEM_LIBRARIES:
            library = Path(folder, name)
            if library.exists():
                target = root / library.relative_to("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(library, target)
                target.chmod(0o755)

    def run(*arguments: str) -> str:
        within: list[str | Path] = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            IN_AN_EMPTY_ROOT,
            root,
            "/anywhere/bin/python3",
            "-I",
            *arguments,
        ]
        return subprocess.run(within, check=True, capture_output=True, text=True, timeout=60).stdout

    samples = json.loads(run("-m", "agent", "probe", "cpu", "memory", "uptime", "filesystem", "--format", "json"))
    assert {"system_uptime_seconds", "system_memory_limit_bytes"} <= {one["name"] for one in samples}
    assert run("-c", LOAD_ALL).startswith("OpenSSL 3")
    assert not any(path.name == "collector" for path in (root / "anywhere").rglob("*"))


@pytest.mark.slow
def test_the_launcher_finds_its_folder_through_links(packages: Packages, tmp_path: Path) -> None:
    (tmp_path / "quarkpulse-agent").symlink_to(packages.tree / "bin/quarkpulse-agent")
    said = subprocess.run(
        [tmp_path / "quarkpulse-agent", "--version"], check=True, capture_output=True, text=True, cwd="/", timeout=60
    )
    assert said.stdout == f"quarkpulse-agent, version {VERSION}\n"


@pytest.mark.slow
def test_the_package_is_as_debian_wants_it(packages: Packages) -> None:
    checked = subprocess.run(
        [require("lintian"), "--allow-root", "--fail-on", "error", packages.this],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
def test_what_is_in_the_package(packages: Packages, tmp_path: Path) -> None:
    listed = subprocess.run(["dpkg-deb", "--contents", packages.this], check=True, capture_output=True, text=True)
    rows = [line.split(maxsplit=5) for line in listed.stdout.splitlines()]
    assert {row[1] for row in rows} == {"root/root"}
    assert [row[5] for row in rows if row[0][8] == "w" and row[0][0] != "l"] == []
    subprocess.run(["dpkg-deb", "--extract", packages.this, tmp_path], check=True)
    for unit in (UNIT, *HARDWARE):
        assert (tmp_path / "usr/lib/systemd/system" / unit).read_text() == unit_text(name=unit)
    assert (tmp_path / "usr/bin/quarkpulse-agent").readlink() == PLACE / "bin/quarkpulse-agent"
    fields = subprocess.run(
        ["dpkg-deb", "--info", packages.this, "conffiles"], check=True, capture_output=True, text=True
    )
    assert fields.stdout == "/etc/quarkpulse-agent/agent.toml\n"


def test_the_manual_page_is_shown_without_a_warning(tmp_path: Path) -> None:
    page = tmp_path / "quarkpulse-agent.1"
    page.write_text(manual_page(VERSION, 1_796_000_000), encoding="utf-8")
    shown = subprocess.run(
        [require("man"), "--warnings=w", "--local-file", page],
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANROFFOPT": "", "MAN_KEEP_FORMATTING": ""},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (shown.returncode, shown.stderr) == (0, "")
    for told in (
        "quarkpulse-agent - looks at",
        "--token-file",
        "uninstall",
        "--interval TIME",
        "printers read",
        "read-hardware [FOLDER]",
        "ENVIRONMENT",
        "journalctl(1)",
    ):
        assert told in shown.stdout, told
    assert "[ARGUMENTS]" not in shown.stdout
