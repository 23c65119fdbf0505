"""`python -m deploy.pack bundle|deb|man`: what `make agent-bundle`, `make agent-deb` and `make agent-man` do."""

import sys
import tempfile
from pathlib import Path

import click

from deploy.pack.archive import write_archive
from deploy.pack.debian import MAINTAINER, build_deb
from deploy.pack.interpreter import BuildError, run
from deploy.pack.manual import manual_page
from deploy.pack.tree import build_tree, project_version, source_date


@click.command()
@click.argument("what", type=click.Choice(["bundle", "deb", "man"]))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("dist"), show_default=True)
@click.option("--maintainer", default=MAINTAINER, envvar="QUARKPULSE_MAINTAINER", help="Who packages it: Name <mail>.")
def main(what: str, out: Path, maintainer: str) -> None:
    """Build a package of the agent, e.g. `python -m deploy.pack deb --out dist`. Prints its path."""
    version, date = project_version(), source_date()
    try:
        if what == "man":
            out.mkdir(parents=True, exist_ok=True)
            made = out / "quarkpulse-agent.1"
            made.write_text(manual_page(version, date), encoding="utf-8")
        else:
            made = build(what, out, version, date, maintainer)
    except BuildError as error:
        sys.exit(f"cannot build: {error}")
    click.echo(made)


def build(what: str, out: Path, version: str, date: int, maintainer: str) -> Path:
    with tempfile.TemporaryDirectory(prefix="quarkpulse-build-") as name:
        tree = Path(name) / "quarkpulse-agent"
        build_tree(tree, date)
        if what == "deb":
            return build_deb(tree, version, out, date, maintainer=maintainer)
        machine = run(["dpkg", "--print-architecture"]).strip()
        archive = out / f"quarkpulse-agent-{version}-linux-{machine}.tar.gz"
        write_archive(tree, archive, "quarkpulse-agent", date)
        return archive


if __name__ == "__main__":
    main()
