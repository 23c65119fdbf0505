"""`serve`: the collector itself."""

import asyncio
import gc
import logging
import signal
from pathlib import Path

import click
import uvloop

from collector.app import serve as serve_collector
from collector.cli.common import with_settings
from collector.clock import system_clock
from collector.config import Settings


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Where to listen.  [default: 127.0.0.1:8420]")
@click.option(
    "--rules",
    "rules_dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of rule files.  [default: the packs that come with Quarkpulse]",
)
@click.option(
    "--trusted-proxy", is_flag=True, default=None, help="A proxy stands before it: reading always needs a token."
)
@with_settings
def serve(settings: Settings) -> None:
    """Take in pushes, evaluate rules and keep tickets until stopped.

    SIGHUP reads the rules again; SIGTERM and Ctrl-C end it in good order.

    Example: quarkpulse-collector serve --data /var/lib/quarkpulse --listen 127.0.0.1:8420
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Pushes make many short-lived objects and hardly any cycles: by default a third of the time would go into looking
    # for those. What was loaded so far stays for good.
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(wanted, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    await serve_collector(
        settings, system_clock, stop=stop, reload=reload, on_listening=lambda url: click.echo(f"listening on {url}")
    )
