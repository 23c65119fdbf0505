"""Every module can be imported alone: importing connects, reads and registers nothing, and no cycle hides."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Alembic runs these by itself, with a context that is there only then.
NOT_IMPORTED = ("collector/db/migrations/",)
# Forked before anything of ours is loaded, so that each import stands alone without the price of a new interpreter.
IMPORT_EACH = """
import importlib, os, sys, traceback
for name in sys.argv[1:]:
    pid = os.fork()
    if pid == 0:
        try:
            importlib.import_module(name)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        print(name)
"""


def modules() -> list[str]:
    files = [path for package in ("agent", "bench", "collector", "protocol") for path in (ROOT / package).rglob("*.py")]
    names = [str(path.relative_to(ROOT)) for path in sorted(files)]
    return [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in names
        if not name.startswith(NOT_IMPORTED) and not name.endswith("__main__.py")
    ]


@pytest.mark.slow
def test_each_module_can_be_imported_alone() -> None:
    imported = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_EACH, *modules()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=1_200,
    )
    assert imported.stdout.split() == [], imported.stderr
