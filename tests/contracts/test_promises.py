"""sla.yaml: what may be promised, and what is refused in it."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from collector.contracts.agreement_files import MAX_FILE_BYTES, AgreementFileError
from collector.contracts.priority import Priority
from collector.contracts.promises import OWN_NAME, Terms, load_sla_book, parse_sla_book

BOOK = load_sla_book()
HOUR = timedelta(hours=1)


def test_what_is_shipped() -> None:
    assert list(BOOK.support_levels) == ["8x5", "12x6", "24x7", "lunch_break"]
    week = {name: level.calendar for name, level in BOOK.support_levels.items()}
    assert {name: sum(span.end - span.start for span in one.hours.spans) / 60 for name, one in week.items()} == {
        "8x5": 40,
        "12x6": 72,
        "24x7": 168,
        "lunch_break": 40,
    }
    assert week["24x7"].closed_days(2026) == []
    assert (date(2026, 4, 27), "King's Day") in week["8x5"].closed_days(2026)
    standard = BOOK.slas["standard"]
    assert (standard.warn_at, standard.escalate_to) == (0.75, "second-line")
    assert standard.targets[Priority.P1].response == HOUR
    assert standard.targets[Priority.P4].resolution is None


def test_ones_own_are_added_or_replace(tmp_path: Path) -> None:
    assert load_sla_book(tmp_path) == BOOK
    (tmp_path / OWN_NAME).write_text(
        "support_levels:\n"
        "  8x5: {title: Ours, hours: 'Mon-Thu 08:00-18:00', holidays: BE, closing_days: {2026-12-24: Eve, 12-31: N}}\n"
        "slas: {quick: {title: Quick, targets: {P1: {response: 1h30m}}, warn_at: 0.5, escalate_to: anna}}\n"
    )
    book = load_sla_book(tmp_path)
    assert list(book.slas) == [*BOOK.slas, "quick"]
    assert book.slas["quick"].targets[Priority.P1].response == timedelta(minutes=90)
    assert book.support_levels["12x6"] == BOOK.support_levels["12x6"]
    days = book.support_levels["8x5"].calendar.closed_days(2026)
    assert (date(2026, 7, 21), "National Day") in days and days[-1] == (date(2026, 12, 31), "N")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("support_levels: {a: {title: A, hours: 'Mon 9-17'}}", "write office hours like"),
        ("support_levels: {a: {title: A, hours: 'Mon 09:00-17:00', time_zone: Mars}}", "no time zone 'Mars'"),
        ("support_levels: {a: {title: A, hours: 'Mon 09:00-17:00', holidays: XX}}", "no holidays are known of 'XX'"),
        ("support_levels: {a: {title: A, hours: 'Mon 09:00-17:00', closing_days: {13-24: E}}}", "write a date like"),
        ("support_levels: {a: {title: A, hours: 'Mon 09:00-17:00', worked_days: ['02-30']}}", "write a date like"),
        ("slas: {a: {title: A, targets: {P5: {response: 1h}}}}", r"slas\.a\.targets\.P5"),
        ("slas: {a: {title: A, targets: {P1: {response: 2d}}}}", "in hours and minutes, such as 4h"),
        ("slas: {a: {title: A, targets: {P1: {response: 30}}}}", "in hours and minutes, such as 4h"),
        ("slas: {a: {title: A, targets: {P1: {response: 0m}}}}", "more than nothing"),
        ("slas: {a: {title: A, targets: {P1: {respond: 1h}}}}", "respond: there is no such key"),
        ("slas: {a: {title: A, targets: {}}}", "at least 1"),
        ("slas: {a: {title: A, warn_at: 1.5, targets: {P1: {response: 1h}}}}", "less than 1"),
        ("sla: {}", "sla: there is no such key"),
        ("- 1", "file: Input should be"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(AgreementFileError, match=said) as caught:
        parse_sla_book(text, "sla.yaml")
    assert str(caught.value).startswith("sla.yaml:1: ")


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(AgreementFileError) as caught:
        parse_sla_book(
            "slas:\n  a:\n    title: A\n    targets:\n      P1: {response: soon}\n      P2: {x: 1}\n  b: 3\n", "f"
        )
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["f:5", "f:6", "f:7"]


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / OWN_NAME).write_bytes(b"\xff\xfe\xff")
    with pytest.raises(AgreementFileError, match="cannot be read"):
        load_sla_book(tmp_path)
    (tmp_path / OWN_NAME).write_text("#" * MAX_FILE_BYTES + "\n")
    with pytest.raises(AgreementFileError, match="larger than"):
        load_sla_book(tmp_path)


@pytest.mark.parametrize("level", BOOK.support_levels)
@pytest.mark.parametrize("sla", BOOK.slas)
def test_terms_are_whole_in_an_event(level: str, sla: str) -> None:
    terms = Terms.agreed(BOOK, plan="monthly", sla=sla, support_level=level)
    again = Terms.of_data(json.loads(json.dumps(terms.data())))
    assert again == terms
    assert again.calendar is BOOK.support_levels[level].calendar
    assert Terms.of_data(Terms("break_fix").data()) == Terms("break_fix")
