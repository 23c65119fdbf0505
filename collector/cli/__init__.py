"""`quarkpulse-collector`: one module of this folder per noun, imported only when that noun is used."""

import gc
from importlib import import_module
from typing import Any

import click

from protocol.errors import QuarkpulseError

# In the order of the help text, which tells these lines. Module and command bear the noun's name, and say the same.
NOUNS = {
    "serve": "Take in pushes, evaluate rules and keep tickets until stopped.",
    "demo": "Show one incident at a monthly and a break/fix customer.",
    "customers": "Customers and their plans.",
    "sites": "Sites of customers.",
    "contracts": "Contracts, past, present and planned: one at a time for each customer.",
    "contacts": "Contacts: who reports at a customer, who is asked and written to.",
    "users": "Users: admin, manager, technician and viewer of the provider, and contacts of a customer.",
    "tokens": "Tokens, each shown once when it is made.",
    "devices": "Devices.",
    "agents": "What agents are told to do otherwise than by default.",
    "printers": "Printers, and those that agents came upon.",
    "tickets": "Tickets and shadow tickets.",
    "alerts": "Alerts: pending, firing, unknown and resolved.",
    "silences": "Silences.",
    "windows": "Maintenance windows, once or again and again.",
    "maintenance": (
        "Regular maintenance: plans, whose rounds open tickets some days before they are due, and their checklists."
    ),
    "thresholds": "Thresholds other than the defaults.",
    "technicians": "Technicians, their absences and who is on call.",
    "rules": "Rule files in Prometheus's format.",
    "report": "What a month was: what it costs, what was maintained.",
    "outbox": "What happens to tickets, on its way to the webhook and to mail.",
    "audit": "What people changed.",
    "db": "The state database.",
}


class Nouns(click.Group):
    """Finds its commands by name, so that `tickets list` loads nothing that only `serve` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NOUNS:
            return None
        gc.disable()  # what is loaded stays; to look for what does not takes a tenth of the time
        try:
            command = getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name)
        finally:
            gc.enable()
        if not isinstance(command, click.Command):
            raise TypeError(f"{__name__}.{cmd_name} has no click command of its own name")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Without a look at the commands themselves: to load them all takes seconds."""
        with formatter.section("Commands"):
            formatter.write_dl(list(NOUNS.items()))

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click declares it
        try:
            return super().invoke(ctx)
        except QuarkpulseError as exc:
            from collector.cli.local_time import in_own_zone  # noqa: PLC0415 - `--help` loads no command's module

            raise click.ClickException(in_own_zone(str(exc))) from exc


@click.group(cls=Nouns, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="quarkpulse")
def main() -> None:
    """Quarkpulse's server: what agents push to, what decides, and where tickets are kept.

    E.g. `quarkpulse-collector customers add acme --name "Acme BV" --plan monthly`.
    """
