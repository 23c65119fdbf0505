"""Reads one probe once and says what it read, for `agent.isolated`: `python -m agent.reading NAME PLACE STATE`."""

import json
import os
import sys
from pathlib import Path

from agent.children import Grouping
from agent.configuration import load_config
from agent.loading import load_probe
from agent.probes.base import ProbeUnavailable, configure
from agent.settings import SettingsError, load_settings
from agent.state import StateFolder
from protocol.errors import QuarkpulseError


def read_once(name: str, place: str, state: Path) -> dict[str, object]:
    """The answer, as `agent.isolated` describes it."""
    try:
        probe = load_probe(name, place, load_settings(state))
        configure(probe, load_config(StateFolder(state)))
        samples = probe.sample()
        take = getattr(probe, "take_occurrences", None)
        return {"samples": [list(one) for one in samples], "occurrences": [list(one) for one in take()] if take else []}
    except (ProbeUnavailable, SettingsError) as error:
        return {"unavailable": str(error)}
    except QuarkpulseError as error:
        return {"failed": str(error)}
    except Exception as error:  # noqa: BLE001 - told to the agent, which logs and counts it
        return {"failed": f"{type(error).__name__}: {error}"}


def main(arguments: list[str]) -> int:
    """Exit code: 0 answered, 2 wrong usage."""
    if len(arguments) != 3:
        sys.stderr.write("usage: python -m agent.reading NAME PLACE STATE\n")
        return 2
    Grouping.own_session = False
    # What a probe or its libraries print must not get into the answer.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        json.dump(read_once(arguments[0], arguments[1], Path(arguments[2])), out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
