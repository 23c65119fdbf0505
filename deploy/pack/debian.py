"""The bundle as a Debian package, put together by dpkg-deb alone: there is nothing for debhelper to find out."""

import gzip
import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from email.utils import formatdate
from pathlib import Path

from agent.service.systemd import FILES, HARDWARE
from agent.service.systemd import NAME as UNIT
from deploy.pack.interpreter import run
from deploy.pack.manual import manual_page
from deploy.pack.tree import PLACE, ROOT, settle

NAME = "quarkpulse-agent"
SOURCES = ROOT / "deploy/debian/agent"
MAINTAINER = "The Quarkpulse authors <packages@quarkpulse.invalid>"
# The C library of Debian 12, which the interpreter is built for. passwd has useradd.
DEPENDS = "libc6 (>= 2.36), ca-certificates, passwd"
WELL = ("-Zxz", "-z6")
CONFFILE = "etc/quarkpulse-agent/agent.toml"
CONTROL = """\
Package: {name}
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {kib}
Depends: {depends}
Recommends: systemd
Suggests: smartmontools
Section: admin
Priority: optional
Description: monitoring agent of the Quarkpulse proactive-service system
 Looks at this machine for its IT service provider: disks, memory, services,
 updates, backups, certificates and more, once a minute, and pushes what it
 sees to the provider's collector. What cannot be sent waits on disk.
 .
 It runs without rights, brings its own Python, and updates nothing by itself.
 What only root may read of disks (SMART, ZFS) and serial numbers, a small unit
 reads for it once an hour.
"""
CHANGELOG = """\
{name} ({version}) stable; urgency=medium

  * See CHANGELOG.md in the source.

 -- {maintainer}  {date}
"""
COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: quarkpulse
Comment: The licences of the interpreter and of its libraries are in
 /opt/quarkpulse-agent/licences, those of Python packages beside them.

Files: *
Copyright: The Quarkpulse authors
License: Apache-2.0
 On Debian systems, the full text of the Apache License, version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
"""


def build_deb(
    tree: Path, version: str, out: Path, date: int, *, maintainer: str = MAINTAINER, compression: Sequence[str] = WELL
) -> Path:
    """The package's file in the folder `out`; `compression` is options of dpkg-deb. Raises BuildError."""
    architecture = run(["dpkg", "--print-architecture"]).strip()
    with tempfile.TemporaryDirectory(prefix="quarkpulse-deb-") as name:
        stage = Path(name) / "stage"
        lay_out(stage, tree, version, date, maintainer)
        control = stage / "DEBIAN"
        control.mkdir()
        (control / "control").write_text(
            CONTROL.format(
                name=NAME, version=version, architecture=architecture, maintainer=maintainer, depends=DEPENDS,
                kib=installed_kib(stage),
            ),
            encoding="utf-8",
        )  # fmt: skip
        (control / "conffiles").write_text(f"/{CONFFILE}\n", encoding="utf-8")
        (control / "md5sums").write_text(checksums(stage), encoding="utf-8")
        for script in ("postinst", "prerm", "postrm"):
            shutil.copyfile(SOURCES / script, control / script)
            (control / script).chmod(0o755)
        settle(stage, date)
        out.mkdir(parents=True, exist_ok=True)
        package = out / f"{NAME}_{version}_{architecture}.deb"
        run(
            [
                "dpkg-deb",
                "--root-owner-group",
                "--uniform-compression",
                *compression,
                "--build",
                stage,
                package,
            ],
            env={**os.environ, "SOURCE_DATE_EPOCH": str(date)},
        )
    return package


def lay_out(stage: Path, tree: Path, version: str, date: int, maintainer: str) -> None:
    """Every file where it will be."""
    shutil.copytree(tree, stage / PLACE.relative_to("/"), symlinks=True)
    for unit in (UNIT, *HARDWARE):
        put(stage / "usr/lib/systemd/system" / unit, (FILES / unit).read_bytes())
    put(stage / "usr/lib/systemd/system-sleep/quarkpulse-agent", (FILES / "system-sleep").read_bytes(), 0o755)
    put(stage / CONFFILE, (SOURCES / "agent.toml").read_bytes())
    documents = stage / "usr/share/doc" / NAME
    put(documents / "copyright", COPYRIGHT.encode())
    dated = CHANGELOG.format(name=NAME, version=version, maintainer=maintainer, date=formatdate(date))
    put(documents / "changelog.gz", pack(dated.encode()))
    put(stage / f"usr/share/man/man1/{NAME}.1.gz", pack(manual_page(version, date).encode()))
    put(stage / "usr/share/lintian/overrides" / NAME, (SOURCES / "lintian-overrides").read_bytes())
    (stage / "usr/bin").mkdir()
    (stage / "usr/bin" / NAME).symlink_to(PLACE / "bin" / NAME)


def put(path: Path, content: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def pack(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def files_of(stage: Path) -> list[Path]:
    return [
        path
        for path in sorted(stage.rglob("*"))
        if path.is_file() and not path.is_symlink() and "DEBIAN" not in path.relative_to(stage).parts
    ]


def installed_kib(stage: Path) -> int:
    return sum(path.stat().st_size for path in files_of(stage)) + 1023 >> 10


def checksums(stage: Path) -> str:
    """As `dpkg --verify` reads them; of conffiles dpkg itself keeps the sum."""
    lines = []
    for path in files_of(stage):
        name = str(path.relative_to(stage))
        if name != CONFFILE:
            digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            lines.append(f"{digest}  {name}\n")
    return "".join(lines)
