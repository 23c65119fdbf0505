"""The story as it unfolds, told line by line; on a terminal with a live status line beneath."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

PROVIDER = ""  # a line about no customer in particular


class Timeline:
    """Prints what happened, each line with the seconds since the beginning and the customer it is about."""

    def __init__(self, console: Console, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._monotonic = monotonic
        self._began = monotonic()

    def say(self, text: str, *, who: str = PROVIDER, style: str = "") -> None:
        seconds = self._monotonic() - self._began
        self._console.print(
            Text.assemble((f"{seconds:6.1f} s  ", "dim"), (f"{who:<18}", "bold"), (text, style)), soft_wrap=True
        )

    @contextmanager
    def waiting_for(self, text: str) -> Iterator[None]:
        """Shows what is being waited for: as a spinner on a terminal, as a plain line elsewhere."""
        if not self._console.is_terminal:
            self.say(f"… {text}", style="dim")
            yield
            return
        with self._console.status(text):
            yield
