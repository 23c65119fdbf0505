"""Serves until it is told to stop."""

import asyncio
from collections.abc import Callable

from collector.app.collector import Collector
from collector.app.settings import load_rules
from collector.clock import Clock
from collector.config import Settings
from collector.db.errors import DatabaseError
from collector.pidfile import only_server


async def serve(
    settings: Settings,
    clock: Clock,
    *,
    stop: asyncio.Event,
    reload: asyncio.Event,
    on_listening: Callable[[str], None],
) -> None:
    """Serves until `stop` is set; `reload` has the rules read again.

    Raises RuleFileError, ServiceModelError, AlreadyServedError and OSError before it listens, and DatabaseError at any
    time: a database that turns the collector away is not waited for.
    """
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    pack = load_rules(settings)
    try:
        with only_server(settings.data, settings.rules_dir):
            async with (
                Collector.opened(settings, clock, pack) as collector,
                collector.listening() as url,
                asyncio.TaskGroup() as tasks,
            ):
                loops = [tasks.create_task(loop, name=name) for name, loop in collector.loops(reload).items()]
                on_listening(url)
                await stop.wait()
                for loop in loops:
                    loop.cancel()
    except ExceptionGroup as group:  # of the loops
        if group.split(DatabaseError)[1] is not None:
            raise
        raise _first_of(group) from group


def _first_of(error: Exception) -> Exception:
    return _first_of(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error
