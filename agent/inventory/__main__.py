"""Reads the inventory once, for `agent.inventory.watch`: `python -m agent.inventory STATE`.

Prints a JSON object with one of the keys `inventory`, `unavailable` and `failed` (a sentence).
"""

import json
import os
import sys
from pathlib import Path

from agent.children import Grouping
from agent.configuration import load_config
from agent.inventory.reading import read_inventory
from agent.probes.base import ProbeUnavailable
from agent.state import StateFolder


def answer(state: Path) -> dict[str, object]:
    try:
        return {"inventory": read_inventory(load_config(StateFolder(state)).privacy)}
    except ProbeUnavailable as error:
        return {"unavailable": str(error)}
    except Exception as error:  # noqa: BLE001 - told to the agent, which logs and counts it
        return {"failed": f"{type(error).__name__}: {error}"}


def main(arguments: list[str]) -> int:
    """Exit code: 0 answered, 2 wrong usage."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m agent.inventory STATE\n")
        return 2
    Grouping.own_session = False
    # What a program or a library prints must not get into the answer.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        json.dump(answer(Path(arguments[0])), out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
