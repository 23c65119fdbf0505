"""`tickets`: what there is to do, and what was done about it."""

import click

from collector.cli.ticket_assignment import assign, hand_over, take
from collector.cli.ticket_changes import add, comment, resolve, set_command, set_status
from collector.cli.ticket_files import attach, attachments, detach, fetch_attachment
from collector.cli.ticket_list import list_command, show
from collector.cli.ticket_relations import devices, link, merge, set_parent, unlink, watch
from collector.cli.ticket_sla import sla
from collector.cli.ticket_work import parts, work


@click.group()
def tickets() -> None:
    """Tickets and shadow tickets.

    E.g. `tickets list`.
    """


for command in (
    *(list_command, show, add, set_command),
    *(comment, assign, take, hand_over, set_status, resolve),
    *(merge, link, unlink, set_parent, devices, watch),
    *(attach, attachments, fetch_attachment, detach),
    *(work, parts, sla),
):
    tickets.add_command(command)
tickets.add_command(add, "open")
