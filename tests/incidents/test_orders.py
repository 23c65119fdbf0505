"""What a line of an order says."""

import pytest

from collector.incidents.orders import MAX_LINES, Line, description_of, rewritten

LINES = [
    Line("reception", "", "toner", "black", "TK-1170", 6.2, pages=7234),
    Line("hall", "2nd floor", "inkCartridge", "Cyan", "", 1.2),
    Line("hall", "", "tonerCartridge", "yellow", "TK-1170Y", 0.3),
    Line("desk", "", "ink", "", "Ink", None),
    Line("desk", "", "", "", "", None, is_empty=True),
]


@pytest.mark.parametrize(
    ("line", "english", "dutch"),
    [
        (
            LINES[0],
            "black toner for the printer reception, about 6 days left, TK-1170, good for about 7,200 pages",
            "zwarte toner voor de printer reception, nog ongeveer 6 dagen, TK-1170, goed voor ongeveer 7.200 pagina's",
        ),
        (
            LINES[1],
            "cyan ink for the printer hall (2nd floor), about 1 day left",
            "cyaan inkt voor de printer hall (2nd floor), nog ongeveer 1 dag",
        ),
        (
            LINES[2],
            "yellow toner for the printer hall, less than a day left, TK-1170Y",
            "gele toner voor de printer hall, nog minder dan een dag, TK-1170Y",
        ),
        (LINES[3], "ink for the printer desk, low, Ink", "inkt voor de printer desk, bijna op, Ink"),
        (LINES[4], "toner or ink for the printer desk, empty", "toner of inkt voor de printer desk, op"),
    ],
)
def test_a_line_in_two_languages(line: Line, english: str, dutch: str) -> None:
    assert line.in_english == english
    assert line.in_dutch == dutch


@pytest.mark.parametrize(
    ("color", "dutch"),
    [
        ("Photo Black", "fotozwarte inkt"),
        ("matte black", "matzwarte inkt"),
        ("light gray", "lichtgrijze inkt"),
        ("vivid light magenta", "vivid light magenta inkt"),
        ("orange", "oranje inkt"),
        ("violet", "violet inkt"),
    ],
)
def test_a_colour_in_dutch(color: str, dutch: str) -> None:
    assert Line("hall", "", "ink", color).in_dutch == f"{dutch} voor de printer hall, bijna op"


def test_what_runs_out_first_stands_first_in_both_languages() -> None:
    dutch, english = description_of(LINES).split("\n\n")
    assert [line.partition(" voor ")[0] for line in dutch.split("\n")[1:]] == [
        "- toner of inkt",
        "- gele toner",
        "- cyaan inkt",
        "- zwarte toner",
        "- inkt",
    ]
    assert len(english.split("\n")) == len(dutch.split("\n")) == 6


def test_what_somebody_wrote_stays() -> None:
    before, after = description_of(LINES[:1]), description_of(LINES)
    assert rewritten("", after) == rewritten(before, after) == after
    assert (
        rewritten(f"{before}\n\nOrdered at De Jong.\n\n- 2 boxes", after)
        == f"{after}\n\nOrdered at De Jong.\n\n- 2 boxes"
    )
    assert rewritten(f"Ordered.\n\n{before}", after) == f"Ordered.\n\n{before}"


def test_a_long_order_is_told_in_part() -> None:
    dutch, english = description_of(LINES[:1] * (MAX_LINES + 3)).split("\n\n")
    assert english.endswith("\n- and 3 more")
    assert dutch.endswith("\n- en nog 3 andere")
