from datetime import datetime, timedelta

import pytest

from collector.fleet.presence import Presence, PresenceFacts, presence_of
from tests.fleet.world import NOW, after

INTERVAL = timedelta(seconds=60)


@pytest.mark.parametrize(
    ("received", "goodbye", "reason", "now", "presence"),
    [
        (None, None, None, NOW, Presence.NEVER_SEEN),
        (NOW, None, None, after(seconds=180), Presence.ONLINE),
        (NOW, None, None, after(seconds=181), Presence.SILENT),
        (NOW, NOW, "shutdown", after(seconds=1), Presence.SHUT_DOWN),
        (NOW, NOW, "sleep", after(days=9), Presence.ASLEEP),
        (NOW, NOW, "stop", after(seconds=1), Presence.STOPPED),
        (NOW, NOW, "something new", after(seconds=1), Presence.STOPPED),
        (after(seconds=1), NOW, "shutdown", after(seconds=2), Presence.ONLINE),
        (after(seconds=1), NOW, "shutdown", after(hours=1), Presence.SILENT),
        (None, NOW, "shutdown", NOW, Presence.SHUT_DOWN),
    ],
)
def test_presence(
    received: datetime | None, goodbye: datetime | None, reason: str | None, now: datetime, presence: Presence
) -> None:
    assert presence_of(PresenceFacts(received, goodbye, reason, INTERVAL), now) is presence
