"""The folder that both packages hold: interpreter, libraries, the agent, compiled; the same bytes at each build."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from deploy.pack.interpreter import VERSION, BuildError, check_libraries, run, unpack_interpreter

ROOT = Path(__file__).parents[2]
PLACE = Path("/opt/quarkpulse-agent")  # where packages put it; it runs anywhere
PACKAGES = f"lib/python{VERSION}/dist-packages"
# The wheel holds both programs.
NOT_THE_AGENTS = ("collector", "rules", "bin")
# Where a build took place, and when: different at each, and nobody's concern.
TRACES = ("RECORD", "direct_url.json", "INSTALLER", "REQUESTED")
LAUNCHER = """\
#!/bin/sh
# Starts the agent with its own interpreter, wherever this folder lies, and writes nothing into it.
here=$(dirname -- "$(readlink -f -- "$0")")
# The bundled OpenSSL looks for the system's certificates where Debian has them; other systems keep them elsewhere.
if [ -z "${SSL_CERT_FILE:-}${SSL_CERT_DIR:-}" ] && [ ! -e /usr/lib/ssl/certs ]; then
    for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem; do
        if [ -e "$file" ]; then
            export SSL_CERT_FILE="$file"
            break
        fi
    done
fi
exec "$here/python3" -I -B -m agent "$@"
"""


def project_version() -> str:
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return version


def source_date() -> int:
    """Unix seconds that all files bear: SOURCE_DATE_EPOCH, or else when the source was last changed."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    done = subprocess.run(["git", "-C", ROOT, "log", "-1", "--format=%ct"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError("this is no git repository, so SOURCE_DATE_EPOCH must say when the source is from")
    return int(done.stdout)


def build_tree(tree: Path, date: int) -> None:
    """Raises BuildError."""
    versions = unpack_interpreter(tree)
    install_packages(tree)
    launcher = tree / "bin/quarkpulse-agent"
    launcher.write_text(LAUNCHER, encoding="utf-8")
    launcher.chmod(0o755)
    shutil.copy2(ROOT / "LICENSE", tree / "licences/quarkpulse")
    (tree / "versions.json").write_text(json.dumps(versions, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    check_libraries(tree)
    for file in (tree / "lib").rglob("*"):
        if file.is_file():
            file.chmod(0o644)  # nothing there is a program, whatever some modules say
    compile_modules(tree)
    settle(tree, date)


def install_packages(tree: Path) -> None:
    """The agent with what it needs, at the versions of constraints.txt."""
    target = tree / PACKAGES
    with tempfile.TemporaryDirectory(prefix="quarkpulse-wheel-") as name:
        run([sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--wheel-dir", name, ROOT])
        wheel = next(Path(name).glob("*.whl"))
        run(
            [
                sys.executable, "-m", "pip", "--quiet", "--python", tree / "bin/python3", "install",
                "--no-compile", "--only-binary=:all:", "--constraint", ROOT / "constraints.txt", "--target", target,
                f"quarkpulse[exporters,printers] @ {wheel.as_uri()}",
            ]
        )  # fmt: skip
    for name in NOT_THE_AGENTS:
        shutil.rmtree(target / name, ignore_errors=True)
    for info in target.glob("*.dist-info"):
        for name in TRACES:
            (info / name).unlink(missing_ok=True)


def compile_modules(tree: Path) -> None:
    """Ahead, since nobody who runs it may write there. The same bytes each time: constants in one order, no dates."""
    command: list[str | Path] = [
        tree / "bin/python3", "-s", "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash",
        "-s", tree, "-p", PLACE, tree / "lib",
    ]  # fmt: skip
    run(command, env={**os.environ, "PYTHONHASHSEED": "0"})


def settle(tree: Path, date: int) -> None:
    """Modes and times that do not tell who built it when."""
    for path in [tree, *tree.rglob("*")]:
        if path.is_symlink():
            continue
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    for path in [*tree.rglob("*"), tree]:
        os.utime(path, (date, date), follow_symlinks=False)
