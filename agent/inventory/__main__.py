"""Reads the inventory once, for `agent.inventory.watch`: `python -m agent.inventory STATE`.

What it prints has the key `inventory`, or those of `agent.answering`.
"""

import contextlib
import sys
from pathlib import Path

from agent.answering import answer
from agent.configuration import load_config
from agent.inventory.facts import Section
from agent.inventory.reading import read_inventory
from agent.state import StateError, StateFolder


def read_all(folder: StateFolder) -> Section:
    inventory = read_inventory(load_config(folder).privacy)
    with contextlib.suppress(StateError):  # `run` says so
        inventory["probes"] = sorted(folder.load_probes())
    return inventory


def main(arguments: list[str]) -> int:
    """Exit code: 0 answered, 2 wrong usage."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m agent.inventory STATE\n")
        return 2
    folder = StateFolder(Path(arguments[0]))
    answer(lambda: {"inventory": read_all(folder)})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
