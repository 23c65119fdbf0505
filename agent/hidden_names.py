"""Labels without the names of users, where the customer did not allow them: `/home/jan` becomes `/home/*`.

Of several users each has a number, so that no two series become one: `/home/*`, `/home/*2`. A hash instead could be
undone by whoever tries names; a number tells nothing. It stays the same while the agent runs.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from agent.probes.base import Sample

# Where systems keep what is a user's: in paths, behind a host or a drive, in names of data sets. What is right below
# /media may be anything; a drive below that has the name of whoever put it in above it.
USERS_PLACE = re.compile(
    r"""(?P<before> [/\\:] (?:home|Users) [/\\]+ (?:\.ecryptfs/)? | /media/ (?=[^/]+/.) )
    (?P<name> [^/\\]+ )
    (?P<below> [/\\] [^/\\]+ )?""",
    re.VERBOSE,
)
# Users of a directory have their homes in a folder of their domain: /home/ACME/jan, /home/acme.example/jan.
DOMAIN = re.compile(r"[A-Z0-9-]+|.*\..*")
PASSWD = Path("/etc/passwd")
MAX_PASSWD_BYTES = 1 << 20
MAX_HOMES = 500
PERSONS_FROM = 1000  # smaller user ids are the system's own
NO_PERSONS = range(60_001, 65_536)  # systemd's for the moment, and nobody
MAX_KNOWN = 2000  # texts with a name in them; then numbers are given anew


class UserPlaces:
    """Where names of users stand: where they usually do, and in homes elsewhere, such as /srv/jan, as /etc/passwd has
    them. Homes of no person, /root and /var/lib/postgresql, tell no name."""

    def __init__(self, passwd: str = "") -> None:
        homes = sorted(find_homes(passwd).items(), reverse=True)  # one within another comes first
        self._homes = dict(homes[:MAX_HOMES])
        self._home = re.compile(rf"(?:{'|'.join(map(re.escape, self._homes))})(?![^/])") if self._homes else None

    def tells(self, text: str) -> bool:
        return bool(USERS_PLACE.search(text) or (self._home and self._home.search(text)))

    def without(self, text: str, instead: str = "*") -> str:
        """The same with `instead` where a user's name stood."""
        if self._home is not None:
            text = self._home.sub(lambda found: self._homes[found[0]].replace("\0", instead), text)
        return USERS_PLACE.sub(lambda found: hide_name(found, instead), text)


class HiddenNames:
    """Remembers the numbers."""

    def __init__(self, passwd: Path = PASSWD) -> None:
        self._passwd = passwd
        self._changed_at: int | None = None
        self._places = UserPlaces()
        self._hidden: dict[str, str] = {}  # by what the text was
        self._given: dict[str, int] = {}  # how many have a number, by text without one

    def hide(self, samples: Iterable[Sample]) -> list[Sample]:
        """The same with other labels, where one tells a name."""
        given = list(samples)
        self._look_for_users()
        told = {text for sample in given for text in sample.labels.values() if self._places.tells(text)}
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

    def _look_for_users(self) -> None:
        """Anew only when there may be others."""
        try:
            changed_at = self._passwd.stat().st_mtime_ns
        except OSError:
            return
        if changed_at != self._changed_at:
            self._changed_at, self._places = changed_at, read_places(self._passwd)

    def _numbered(self, text: str) -> str:
        hidden = self._places.without(text)
        number = self._given[hidden] = self._given.get(hidden, 0) + 1
        return hidden if number == 1 else self._places.without(text, f"*{number}")


def read_places(passwd: Path = PASSWD) -> UserPlaces:
    """As this machine has them. Only what stands in the file itself: to ask for those of a directory may hang."""
    try:
        with passwd.open("rb") as file:
            return UserPlaces(file.read(MAX_PASSWD_BYTES).decode(errors="replace"))
    except OSError:  # not on Windows
        return UserPlaces()


def find_homes(passwd: str) -> dict[str, str]:
    """Homes of persons that tell who it is: each with a NUL in the name's place."""
    homes = {}
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) != 7 or not fields[0] or not fields[2].isdecimal() or "\0" in line:
            continue
        name, number, home = fields[0], int(fields[2]), fields[5].rstrip("/")
        if number < PERSONS_FROM or number in NO_PERSONS:
            continue
        hidden = "/".join("\0" if part.lower() == name.lower() else part for part in home.split("/"))
        if home.startswith("/") and hidden != home:
            homes[home] = hidden
    return homes


def hide_name(found: "re.Match[str]", instead: str) -> str:
    below = found["below"] or ""
    if below and not found["before"].startswith("/media") and DOMAIN.fullmatch(found["name"]):
        below = below[0] + instead
    return found["before"] + instead + below
