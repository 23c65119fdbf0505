"""The manual page, made of what the commands say about themselves: one text for `--help` and `man`."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from agent.cli import cli
from agent.hardware import HELP as READ_HELP
from agent.run_command import RUN_HELP

NAME = "quarkpulse-agent"
FILES = (
    ("/var/lib/quarkpulse-agent", "State folder: identity, secret, configuration, and what is not yet sent."),
    (
        "/etc/quarkpulse-agent/agent.toml",
        "What the machine's administrator wants looked at. The state folder's agent.toml is a link to it.",
    ),
    (
        "/run/quarkpulse-agent-hardware",
        "What only root may read of the hardware, for the agent to find; quarkpulse-agent-hardware.service leaves it.",
    ),
    ("/opt/quarkpulse-agent", "The agent with its own Python, where it came as a package."),
)
VARIABLES = (
    ("QUARKPULSE_TOKEN", "Enrolment token for enroll and install, which keeps it out of the list of processes."),
    (
        "QUARKPULSE_SNMP_COMMUNITY, QUARKPULSE_SNMP_AUTH_PASSWORD, QUARKPULSE_SNMP_PRIVACY_PASSWORD",
        "How printers are asked by hand; likewise.",
    ),
    (
        "HTTPS_PROXY, NO_PROXY",
        "The proxy on the way to the collector, if agent.toml names none under [uplink].",
    ),
)
# They have no use for click, and say themselves how they are used.
PAST_CLICK = {("run",): RUN_HELP, ("read-hardware",): READ_HELP}


def manual_page(version: str, date: int) -> str:
    """In the man macros; `date` in Unix seconds."""
    return "\n".join(write_page(version, datetime.fromtimestamp(date, UTC))) + "\n"


def write_page(version: str, at: datetime) -> Iterator[str]:
    yield f'.TH QUARKPULSE-AGENT 1 "{at:%Y-%m-%d}" "Quarkpulse {version}" "User Commands"'
    yield ".SH NAME"
    yield f"{escape(NAME)} \\- looks at this machine for its IT service provider"
    yield ".SH SYNOPSIS"
    yield f".B {escape(NAME)}"
    yield "[\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]"
    yield ".SH DESCRIPTION"
    yield from paragraphs(cli.help or "")
    yield ".SH COMMANDS"
    context = click.Context(cli, info_name=NAME)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None:
            yield from write_command(command, context, name)
    yield from write_list("FILES", FILES)
    yield from write_list("ENVIRONMENT", VARIABLES)
    yield ".SH SEE ALSO"
    yield ".BR systemctl (1),"
    yield ".BR journalctl (1)"


def write_command(command: click.Command, above: click.Context, *path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path[-1], parent=above)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from write_command(inner, context, *path, name)
        return
    yield f".SS {escape(' '.join(path))}"
    if path in PAST_CLICK:
        yield from [".nf", *[quote_line(line) for line in PAST_CLICK[path].splitlines()], ".fi"]
        return
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"\\fB{escape(' '.join((NAME, *path)))}\\fR {escape(usage)}"
    yield ".PP"
    yield from paragraphs(command.help or "")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1] and "--help" not in record[0]:  # arguments stand in the line above
            yield ".TP"
            yield f"\\fB{escape(record[0])}\\fR"
            yield quote_line(record[1])


def write_list(title: str, entries: tuple[tuple[str, str], ...]) -> Iterator[str]:
    yield f".SH {title}"
    for name, text in entries:
        yield ".TP"
        yield f"\\fI{escape(name)}\\fR"
        yield quote_line(text)


def paragraphs(text: str) -> Iterator[str]:
    """Paragraphs of help; what stands in backticks is bold."""
    for number, part in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ".PP"
        words = " ".join(part.split())
        pieces = re.split(r"`([^`]*)`", words)
        yield guard("".join(f"\\fB{escape(one)}\\fR" if odd % 2 else escape(one) for odd, one in enumerate(pieces)))


def quote_line(line: str) -> str:
    return guard(escape(line))


def escape(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")


def guard(line: str) -> str:
    """A line that begins like a request is none."""
    return f"\\&{line}" if line.startswith((".", "'")) else line
