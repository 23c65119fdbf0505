"""Reads the inventory once, for `agent.inventory.watch`: `python -m agent.inventory STATE`.

What it prints has the key `inventory`, or those of `agent.answering`.
"""

import sys
from pathlib import Path

from agent.answering import answer
from agent.configuration import load_config
from agent.inventory.reading import read_inventory
from agent.state import StateFolder


def main(arguments: list[str]) -> int:
    """Exit code: 0 answered, 2 wrong usage."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m agent.inventory STATE\n")
        return 2
    folder = StateFolder(Path(arguments[0]))
    answer(lambda: {"inventory": read_inventory(load_config(folder).privacy)})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
