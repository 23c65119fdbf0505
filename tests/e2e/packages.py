"""The agent's packages, as the tests want them: `packages` in conftest.py is built once in a run."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from agent import VERSION
from deploy.pack.debian import build_deb
from deploy.pack.tree import PACKAGES, build_tree, source_date

NEXT_VERSION = "9.0.0"
QUICKLY = ("-Zgzip", "-z1")


@dataclass(frozen=True, slots=True)
class Packages:
    tree: Path
    this: Path
    next: Path
    date: int  # Unix seconds that all their files bear


def build_packages(folder: Path) -> Packages:
    """This version and a later one, hardly compressed."""
    date = source_date()
    tree, later = folder / "tree", folder / "later"
    build_tree(tree, date)
    shutil.copytree(tree, later)
    agent = later / PACKAGES / "agent"
    module = agent / "__init__.py"
    module.write_text(module.read_text().replace(VERSION, NEXT_VERSION))
    for compiled in (agent / "__pycache__").glob("__init__.*"):
        compiled.unlink()
    return Packages(
        tree,
        build_deb(tree, VERSION, folder, date, compression=QUICKLY),
        build_deb(later, NEXT_VERSION, folder, date, compression=QUICKLY),
        date,
    )
