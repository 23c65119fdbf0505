"""Reads one probe once and says what it read, for `agent.isolated`: `python -m agent.reading NAME PLACE STATE`."""

import sys
from pathlib import Path

from agent.answering import answer
from agent.configuration import load_config
from agent.loading import load_probe
from agent.probes.base import configure
from agent.settings import load_settings
from agent.state import StateFolder


def read_once(name: str, place: str, state: Path) -> dict[str, object]:
    """As `agent.isolated` describes it. Raises what the probe raises, and SettingsError."""
    probe = load_probe(name, place, load_settings(state))
    configure(probe, load_config(StateFolder(state)))
    samples = probe.sample()
    take = getattr(probe, "take_occurrences", None)
    return {"samples": [list(one) for one in samples], "occurrences": [list(one) for one in take()] if take else []}


def main(arguments: list[str]) -> int:
    """Exit code: 0 answered, 2 wrong usage."""
    if len(arguments) != 3:
        sys.stderr.write("usage: python -m agent.reading NAME PLACE STATE\n")
        return 2
    answer(lambda: read_once(arguments[0], arguments[1], Path(arguments[2])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
