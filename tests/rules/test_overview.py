"""The table of rules in the documentation is the one that the rules make."""

from tests.rules.overview import PAGE, page


def test_the_table_of_rules_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.rules.overview"
