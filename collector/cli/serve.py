"""`serve`: the collector itself."""

import asyncio
import errno
import gc
import logging
import signal
import socket
import ssl
from pathlib import Path

import click
import uvloop

from collector.app import serve as serve_collector
from collector.cli.common import with_settings
from collector.clock import system_clock
from collector.config import Settings

CYCLES_SOUGHT = (50_000, 50, 1000)  # how seldom: pushes make many short-lived objects, and hardly any cycles of them


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
    # By default a third of the time would go into looking for cycles. What was loaded so far stays for good.
    gc.freeze()
    gc.set_threshold(*CYCLES_SOUGHT)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings))
    finally:
        gc.unfreeze()  # what stays to the very end is called a leak by the library that DuckDB is bound with


async def _serve(settings: Settings) -> None:
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(wanted, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    try:
        await serve_collector(
            settings, system_clock, stop=stop, reload=reload, on_listening=lambda url: click.echo(f"listening on {url}")
        )
    except OSError as exc:  # before it listens; what fails later arrives as a group, with its traceback
        raise click.ClickException(_explain(exc, settings)) from exc


def _explain(error: OSError, settings: Settings) -> str:
    """What keeps `serve` from starting, and what to do about it."""
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}: name a folder that this user may write with --data"
    if isinstance(error, ssl.SSLError | FileNotFoundError):
        return f"tls_certificate and tls_key cannot be used: {error}"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{settings.listen_address.host} is no address of this machine: name one with --listen HOST:PORT"
    if error.errno == errno.EADDRINUSE:
        return f"another program listens on {settings.listen}: stop it, or name another port with --listen"
    if error.errno == errno.EACCES:
        return f"this user may not listen on {settings.listen}: name a port from 1024 on with --listen"
    return f"cannot start: {error}"
