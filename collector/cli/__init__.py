"""`quarkpulse-collector`: one module of this folder per noun, imported only when that noun is used."""

from importlib import import_module
from typing import Any

import click

from protocol.errors import QuarkpulseError

# In the order of the help text. Module and command bear the noun's name.
NOUNS = (
    "serve",
    "demo",
    "customers",
    "sites",
    "contracts",
    "contacts",
    "users",
    "tokens",
    "devices",
    "agents",
    "printers",
    "tickets",
    "alerts",
    "silences",
    "windows",
    "maintenance",
    "thresholds",
    "technicians",
    "rules",
    "report",
    "outbox",
    "audit",
    "db",
)


class Nouns(click.Group):
    """Finds its commands by name, so that `tickets list` loads nothing that only `serve` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NOUNS:
            return None
        command = getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{__name__}.{cmd_name} has no click command of its own name")
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click declares it
        try:
            return super().invoke(ctx)
        except QuarkpulseError as exc:
            raise click.ClickException(str(exc)) from exc


@click.group(cls=Nouns, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="quarkpulse")
def main() -> None:
    """Quarkpulse's server: what agents push to, what decides, and where tickets are kept.

    E.g. `quarkpulse-collector customers add acme --name "Acme BV" --plan monthly`.
    """
