"""The pages of decisions: each has a number of its own, and its title says which."""

from pathlib import Path

PAGES = sorted(Path("docs/decisions").glob("*.md"))


def test_decisions_are_numbered_one_after_the_other() -> None:
    assert [int(page.name[:4]) for page in PAGES] == list(range(1, len(PAGES) + 1))


def test_titles_bear_the_number() -> None:
    titles = [page.read_text(encoding="utf-8").partition("\n")[0] for page in PAGES]
    assert all(title.startswith(f"# {number}. ") for number, title in enumerate(titles, start=1)), titles
