"""Labels without the names of users, where the customer did not allow them: `/home/jan` becomes `/home/*`.

Of several users each has a number, so that no two series become one: `/home/*`, `/home/*2`. A hash instead could be
undone by whoever tries names; a number tells nothing. It stays the same while the agent runs.
"""

import re
from collections.abc import Iterable

from agent.probes.base import Sample

# Where systems keep what is a user's: in paths, behind a host or a drive, in names of data sets. What is right below
# /media may be anything; a drive below that has the name of whoever put it in above it.
USERS_PLACE = re.compile(
    r"(?P<before> [/\\:] (?:home|Users) [/\\]+ (?:\.ecryptfs/)? | /media/ (?=[^/]+/.) ) (?P<name> [^/\\]+ )", re.VERBOSE
)
MAX_KNOWN = 2000  # texts with a name in them; then numbers are given anew


class HiddenNames:
    """Remembers the numbers."""

    def __init__(self) -> None:
        self._hidden: dict[str, str] = {}  # by what the text was
        self._given: dict[str, int] = {}  # how many have a number, by text without one

    def hide(self, samples: Iterable[Sample]) -> list[Sample]:
        """The same with other labels, where one tells a name."""
        given = list(samples)
        told = {text for sample in given for text in sample.labels.values() if USERS_PLACE.search(text)}
        if not told:
            return given
        if len(self._hidden) + len(told - self._hidden.keys()) > MAX_KNOWN:
            self._hidden.clear()
            self._given.clear()
        for text in sorted(told - self._hidden.keys()):  # in an order that a restart does not change
            self._hidden[text] = self._numbered(text)
        return [
            sample._replace(labels={name: self._hidden.get(text, text) for name, text in sample.labels.items()})
            if not told.isdisjoint(sample.labels.values())
            else sample
            for sample in given
        ]

    def _numbered(self, text: str) -> str:
        hidden = without_users(text)
        number = self._given[hidden] = self._given.get(hidden, 0) + 1
        return hidden if number == 1 else without_users(text, f"*{number}")


def without_users(text: str, instead: str = "*") -> str:
    """The same with `instead` where a user's name stood."""
    return USERS_PLACE.sub(lambda found: found["before"] + instead, text)
