"""`demo`: the whole story on this machine."""

import asyncio
import importlib.resources
import signal
import tempfile
from pathlib import Path

import click
from rich.console import Console

from collector.demo.story import Demo
from collector.demo.timeline import Timeline


@click.command()
@click.option("--exit", "ends", is_flag=True, help="End when the story is over instead of serving until Ctrl-C.")
@click.option(
    "--rules",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Rule files to use.  [default: the demo's own]",
)
def demo(ends: bool, rules: Path | None) -> None:
    """Show one incident at a monthly and a break/fix customer.

    E.g. `demo --exit`.

    Starts a collector and two agents on this machine, loads all its cores for half a minute, and shows the alert, the
    ticket and the shadow ticket as they come and go. Everything is kept in a temporary folder.
    """
    asyncio.run(_play(Console(), demo_rules() if rules is None else rules, ends=ends))


def demo_rules() -> Path:
    """The demo's rule files: in the wheel, or in the checkout that this is run from."""
    packaged = Path(str(importlib.resources.files("collector"))) / "demo" / "rules"
    checkout = Path(__file__).parents[2] / "deploy" / "demo" / "rules"
    return packaged if packaged.is_dir() else checkout


async def _play(console: Console, rules: Path, *, ends: bool) -> None:
    timeline = Timeline(console)
    with tempfile.TemporaryDirectory(prefix="quarkpulse-demo-") as folder:
        story = Demo(Path(folder), rules, timeline)
        stop = asyncio.Event()
        async with story.running():
            await story.play()
            timeline.say("one incident, one ticket, one shadow ticket: as the contracts say", style="bold green")
            if ends:
                return
            _print_addresses(console, story)
            for wanted in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(wanted, stop.set)
            await stop.wait()


def _print_addresses(console: Console, story: Demo) -> None:
    url = story.url
    commands = (
        f"quarkpulse-collector tickets list --data {story.data}",
        f"quarkpulse-collector tickets list --shadow --data {story.data}",
        f"quarkpulse-collector alerts list --data {story.data}",
        f"quarkpulse-collector devices list --data {story.data}",
    )
    console.print(f"\nIt keeps serving until Ctrl-C. Look at\n  {url}/metrics\n  {url}/healthz", highlight=False)
    console.print("or ask\n  " + "\n  ".join(commands), highlight=False, soft_wrap=True)
