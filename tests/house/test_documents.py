"""What the documentation says exists: links, commands, options, make targets, examples."""

import re
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from agent.cli import cli as agent
from collector.cli import main as collector

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
PROGRAMS = {"quarkpulse-agent": agent, "quarkpulse-collector": collector}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# At the start of a line, by its path or not, after `runuser … --`, or inside `$(…)`.
PROGRAM = re.compile(r"(?:^|-- |\$\()(?:\S*/)?(quarkpulse-(?:agent|collector)) ([^)]*)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    broken = []
    for link in LINK.findall(text):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        path = (document.parent / target).resolve() if target else document
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(link)
    assert broken == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached:
            reached.add(page)
            targets = [link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8"))]
            paths = [(page.parent / target).resolve() for target in targets if "://" not in target]
            ahead += [path for path in paths if path.suffix == ".md"]
    pages = {path for path in DOCUMENTS if "decisions" not in path.parts}  # their folder is linked
    assert sorted(map(name_of, pages - reached)) == []


def code_in(document: Path) -> list[str]:
    """Lines of code: those of fenced blocks, continued lines joined, and what stands in backticks."""
    text = document.read_text(encoding="utf-8")
    lines = [line for _, block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    return lines + INLINE.findall(FENCE.sub("", text))


class Command(NamedTuple):
    program: str
    words: tuple[str, ...]
    options: frozenset[str]


def command_in(line: str) -> Command | None:
    """The program, its subcommands, and the options that a line of documentation gives it."""
    found = PROGRAM.search(line)
    if found is None:
        return None
    arguments = shlex.split(found[2].split(" | ")[0], comments=True)
    plain = [argument for argument in arguments if re.fullmatch(r"[a-z]+|--?[a-z-]+(=.*)?", argument)]
    words = []
    for argument in arguments:
        if not re.fullmatch(r"[a-z][a-z_-]*", argument):
            break
        words.append(argument)
    options = frozenset(argument.partition("=")[0] for argument in plain if argument.startswith("--"))
    return Command(found[1], tuple(words), options)


COMMANDS = sorted(
    {
        (name_of(document), command)
        for document in DOCUMENTS
        for line in code_in(document)
        if (command := command_in(line))
    },
    key=lambda pair: (pair[0], pair[1].program, pair[1].words, sorted(pair[1].options)),
)


@cache
def help_of(program: str, words: tuple[str, ...]) -> str | None:
    """The help of a command; None if there is no such command."""
    asked = CliRunner().invoke(PROGRAMS[program], [*words, "--help"])
    return asked.output if asked.exit_code == 0 else None


def documented_help(command: Command) -> str:
    # What stands behind the subcommands may look like one (`customers add acme`): the longest that has help counts.
    for length in range(len(command.words), -1, -1):
        found = help_of(command.program, command.words[:length])
        if found is not None and (length == len(command.words) or "Commands:" not in found):
            return found
    raise AssertionError(f"there is no {command.program} {' '.join(command.words)}")


@pytest.mark.parametrize(
    ("document", "command"), COMMANDS, ids=[f"{name}: {' '.join((c.program, *c.words))}" for name, c in COMMANDS]
)
def test_a_documented_command_exists(document: str, command: Command) -> None:
    text = documented_help(command)
    assert sorted(option for option in command.options if option not in text) == [], document


def test_documented_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = {
        (name_of(document), target)
        for document in DOCUMENTS
        for line in code_in(document)
        for target in re.findall(r"^make ([a-z-]+)", line)
    }
    assert named
    assert [(document, target) for document, target in sorted(named) if target not in targets] == []


def test_every_make_target_says_what_it_does() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    phony = set(re.findall(r"[a-z-]+", MAKEFILE.partition(".PHONY:")[2].partition("\n")[0]))
    assert phony - set(re.findall(r"^make ([a-z-]+)", listed, re.MULTILINE)) == {"test-packages"}


def test_the_protocol_page_shows_the_golden_examples() -> None:
    page = (ROOT / "docs/reference/protocol.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"<!-- example: (\S+) -->\n```json\n(.*?)```", page, re.DOTALL))
    golden = {
        path.name.removesuffix(".json"): path.read_text(encoding="utf-8")
        for path in (ROOT / "protocol/examples").iterdir()
    }
    assert shown == golden
