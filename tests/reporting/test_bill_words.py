"""What a bill says in Dutch and in English."""

from datetime import date
from decimal import Decimal

from collector.contracts.charge import Charge
from collector.contracts.charging import (
    Agreed,
    DeviceDays,
    PartUsed,
    Terms,
    VatLine,
    WhyNot,
    Worked,
    charge_fees,
    charge_parts,
    charge_work,
    terms_of,
)
from collector.contracts.months import Month
from collector.fleet.people import Language
from collector.reporting.bill_words import _WHY_NOT, _WORDS, BillWords
from protocol.wire import Kind

DUTCH, ENGLISH = BillWords(Language.NL), BillWords(Language.EN)
MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)


def terms() -> Terms:
    hours = {"rate": "95.00", "included_minutes": 30, "travel": "call_out", "call_out_fee": "45.00"}
    devices = {"server": "62.00", "other": "5.00"}
    charge = {"monthly_fee": "100.00", "per_device": devices, "hours": hours}
    return terms_of("plan", Charge.model_validate(charge), Agreed(7))


def test_each_line_says_what_it_is_for() -> None:
    lines = [
        *charge_fees(terms(), {}, 31, 31),
        *charge_fees(terms(), {"server": DeviceDays(2, 41), "other": DeviceDays(1, 31)}, 20, 31),
        *charge_work(terms(), [Worked(1001, MONDAY, 65), Worked(1002, MONDAY, 10)]).lines,
        *charge_work(terms(), [Worked(1003, day, 15, is_travel=True) for day in (TUESDAY, MONDAY)]).lines,
        *charge_parts(terms(), [PartUsed(1003, "print head", Decimal(1), Decimal("89.90"), "EUR")]),
    ]
    assert [(DUTCH.line(one), ENGLISH.line(one)) for one in lines] == [
        ("maandbedrag", "monthly fee"),
        ("maandbedrag, 20 van 31 dagen", "monthly fee, 20 of 31 days"),
        ("1 x overig apparaat", "1 x other"),
        ("2 x server, 41 van 62 apparaatdagen", "2 x server, 41 of 62 device days"),
        (
            "werk aan melding 1001: 65 min, afgerond op 75, waarvan 30 inbegrepen",
            "work on ticket 1001: 65 min, rounded to 75, 30 included",
        ),
        ("werk aan melding 1002: 10 min, afgerond op 15", "work on ticket 1002: 10 min, rounded to 15"),
        (
            "voorrijkosten voor melding 1003 op 2 maart 2026, 3 maart 2026",
            "call-out for ticket 1003 on 2 March 2026, 3 March 2026",
        ),
        ("print head", "print head"),
    ]


def test_amounts_and_months_are_written_as_the_language_does() -> None:
    vat = VatLine(Decimal("9.5"), Decimal("1234.50"), Decimal("117.28"))
    assert (DUTCH.vat(vat), ENGLISH.vat(vat)) == ("btw 9,5% over 1.234,50", "VAT 9.5 % of 1,234.50")
    assert (DUTCH.amount(Decimal("1E+3")), ENGLISH.amount(Decimal("-0.5"))) == ("1.000,00", "-0.50")
    assert (DUTCH.month(Month(2026, 3)), ENGLISH.month(Month(2026, 3))) == ("maart 2026", "March 2026")
    assert (DUTCH.source("ticket 1001"), DUTCH.source("model plan")) == ("melding 1001", "model plan")


def test_what_is_not_charged_is_told_in_both() -> None:
    (told,) = charge_work(terms_of("plan", Charge(), Agreed(7)), [Worked(1003, MONDAY, 15)]).uncharged
    assert DUTCH.uncharged(told, "plan") == "15 min aan melding 1003: model plan rekent geen uren"
    assert ENGLISH.uncharged(told, "plan") == "15 min on ticket 1003: model plan charges no hours"


def test_no_language_lacks_a_word() -> None:
    called_alike = {"ticket", Kind.OTHER.value}  # in English, as programs call them
    assert set(_WORDS[Language.NL]) == set(_WORDS[Language.EN]) | called_alike
    assert all(set(words) == set(WhyNot) for words in _WHY_NOT.values())
    assert set(_WORDS) == set(_WHY_NOT) == set(Language)
