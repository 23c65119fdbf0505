"""Every module can be imported, and no cycle of imports hides: then each can be imported alone, in any order."""

import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent", "bench", "collector", "protocol")
# Alembic runs these by itself, with a context that is there only then.
NOT_IMPORTED = ("collector.db.migrations",)
IMPORT_ALL = """
import importlib, sys, traceback
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException:
        traceback.print_exc()
        print(name)
"""


def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)


def test_no_import_leads_back_to_where_it_began() -> None:
    """Those within functions count as well. Raises CycleError with the modules on the way."""
    found = graph()
    imports = {module: found.find_modules_directly_imported_by(module) for module in found.modules}
    assert len(tuple(TopologicalSorter(imports).static_order())) == len(found.modules) > 400


def test_every_module_can_be_imported() -> None:
    """In a process of its own, whose warnings are errors."""
    names = [
        name for name in sorted(graph().modules) if not name.startswith(NOT_IMPORTED) and not name.endswith("__main__")
    ]
    imported = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_ALL, *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert imported.stdout.split() == [], imported.stderr
