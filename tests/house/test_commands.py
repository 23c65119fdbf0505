"""The command line as a whole: every command explains itself with an example, and no listing goes without `--json`."""

from collections.abc import Iterator

import click
import pytest

from agent.cli import cli as agent
from collector.cli import main as collector


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command of a program, by how it is called."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path[-1])
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, *path, name)


COMMANDS = [*commands(agent, "quarkpulse-agent"), *commands(collector, "quarkpulse-collector")]


@pytest.mark.parametrize(("called", "command"), COMMANDS, ids=[called for called, _ in COMMANDS])
def test_help_has_an_example(called: str, command: click.Command) -> None:
    text = f"{command.help or ''} {command.epilog or ''}"
    assert "e.g." in text.lower() or "example:" in text.lower(), f"{called} needs an example in its help"


def test_lists_of_commands_say_what_each_does() -> None:
    """And not how its help goes on: click takes the first sentence, which `e.g.` would end."""
    assert [called for called, command in COMMANDS if "e.g" in command.get_short_help_str(200)] == []


@pytest.mark.parametrize(
    ("called", "command"),
    [(called, command) for called, command in COMMANDS if called.endswith(" list")],
    ids=[called for called, _ in COMMANDS if called.endswith(" list")],
)
def test_a_listing_takes_json(called: str, command: click.Command) -> None:
    assert any("--json" in parameter.opts for parameter in command.params), called


def test_options_are_explained() -> None:
    silent = [
        f"{called} {parameter.opts[0]}"
        for called, command in COMMANDS
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert silent == []


def test_who_does_it_has_one_name() -> None:
    """Whoever runs a command may do it for somebody else: with `--as`, which means nothing else anywhere."""
    named = {
        (option, parameter.name)
        for _, command in COMMANDS
        for parameter in command.params
        for option in parameter.opts
        if option in ("--as", "--author") or parameter.name in ("author", "who")
    }
    assert named == {("--as", "who")}


def test_choices_are_written_as_they_are_documented() -> None:
    """click takes the members of an enum by their names in capitals, and refuses their values."""
    shouted = [
        f"{called} {parameter.name}"
        for called, command in COMMANDS
        for parameter in command.params
        if isinstance(parameter.type, click.Choice)
        and any(type(choice) is not str for choice in parameter.type.choices)
    ]
    assert shouted == []
