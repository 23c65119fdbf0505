"""What a bill says, in the language of who pays it; amounts and dates as that language writes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from collector.contracts.charging import Line, LineKind, Uncharged, VatLine, WhyNot
from collector.contracts.months import Month
from collector.fleet.people import Language

_LOCALES = {Language.NL: "nl_NL", Language.EN: "en_GB"}
_CENTS = "#,##0.00"

_WORDS: Mapping[Language, Mapping[str, str]] = {
    Language.NL: {
        "fee": "maandbedrag",
        "of_days": "{days} van {whole} dagen",
        "device_days": "{days} van {whole} apparaatdagen",
        "other": "overig apparaat",  # a kind; the others are called so in both languages
        "hours": "werk aan melding {ticket}: {minutes} min, afgerond op {rounded}",
        "included": ", waarvan {included} inbegrepen",
        "call_out": "voorrijkosten voor melding {ticket} op {days}",
        "vat": "btw {percent}% over {net}",
        "uncharged": "{minutes} min aan melding {ticket}: {why}",
        "net": "netto",
        "total": "totaal",
        "logged": "{minutes} minuten geregistreerd",
        "what": "wat",
        "price": "prijs",
        "from": "volgens",
        "amount": "bedrag",
        "currency": "valuta",
        "ticket": "melding",
    },
    Language.EN: {
        "fee": "monthly fee",
        "of_days": "{days} of {whole} days",
        "device_days": "{days} of {whole} device days",
        "hours": "work on ticket {ticket}: {minutes} min, rounded to {rounded}",
        "included": ", {included} included",
        "call_out": "call-out for ticket {ticket} on {days}",
        "vat": "VAT {percent} % of {net}",
        "uncharged": "{minutes} min on ticket {ticket}: {why}",
        "net": "net",
        "total": "total",
        "logged": "{minutes} minutes logged",
        "what": "what",
        "price": "price",
        "from": "from",
        "amount": "amount",
        "currency": "currency",
    },
}
_WHY_NOT: Mapping[Language, Mapping[WhyNot, str]] = {
    Language.NL: {
        WhyNot.NO_HOURS: "model {model} rekent geen uren",
        WhyNot.NOT_BILLABLE: "wordt niet berekend",
        WhyNot.IN_THE_FEE: "onderhoud hoort bij het maandbedrag",
        WhyNot.BY_THE_VISIT: "reizen wordt per bezoek berekend",
        WhyNot.FREE: "reizen wordt niet berekend",
    },
    Language.EN: {
        WhyNot.NO_HOURS: "model {model} charges no hours",
        WhyNot.NOT_BILLABLE: "not billable",
        WhyNot.IN_THE_FEE: "maintenance is in the fee",
        WhyNot.BY_THE_VISIT: "travel is charged by the visit",
        WhyNot.FREE: "travel is free",
    },
}


@dataclass(frozen=True, slots=True)
class BillWords:
    """Of one language. `words["net"]` is a word, the methods make what stands in a bill."""

    language: Language

    def __getitem__(self, word: str) -> str:
        """The language's own for it; what has none, such as `server` or `contract`, is called the same in both."""
        return _WORDS[self.language].get(word, word)

    def line(self, line: Line) -> str:
        """What a line is for. A part is called as it was entered."""
        match line.kind:
            case LineKind.FEE:
                return self["fee"] + self._share("of_days", line.days, line.of_days)
            case LineKind.DEVICES:
                whole = None if line.devices is None or line.of_days is None else line.devices * line.of_days
                return f"{line.devices} x {self[line.of]}" + self._share("device_days", line.days, whole)
            case LineKind.HOURS:
                (ticket,) = line.tickets
                told = self["hours"].format(ticket=ticket, minutes=line.minutes, rounded=line.rounded_minutes)
                return told + (self["included"].format(included=line.included_minutes) if line.included_minutes else "")
            case LineKind.CALL_OUT:
                (ticket,) = line.tickets
                return self["call_out"].format(ticket=ticket, days=", ".join(map(self.day, line.on)))
            case LineKind.PART:
                return line.of

    def why_not(self, one: Uncharged, model: str) -> str:
        return _WHY_NOT[self.language][one.why].format(model=model)

    def uncharged(self, one: Uncharged, model: str) -> str:
        return self["uncharged"].format(minutes=one.minutes, ticket=one.ticket, why=self.why_not(one, model))

    def vat(self, vat: VatLine) -> str:
        from babel.numbers import format_decimal  # noqa: PLC0415 - Babel takes a while to load, and few ask for bills

        percent = format_decimal(vat.percent, locale=_LOCALES[self.language])
        return self["vat"].format(percent=percent, net=self.amount(vat.net))

    def source(self, source: str) -> str:
        """Who says a price, such as `model monthly` or `ticket 1001`."""
        kind, _, name = source.partition(" ")
        return f"{self[kind]} {name}"

    def amount(self, amount: Decimal) -> str:
        """With its cents, and without its currency."""
        from babel.numbers import format_decimal  # noqa: PLC0415 - as above

        return format_decimal(amount, _CENTS, _LOCALES[self.language])

    def day(self, day: date) -> str:
        from babel.dates import format_date  # noqa: PLC0415 - as above

        return format_date(day, "d MMMM y", _LOCALES[self.language])

    def month(self, month: Month) -> str:
        from babel.dates import format_date  # noqa: PLC0415 - as above

        return format_date(date(month.year, month.number, 1), "MMMM y", _LOCALES[self.language])

    def _share(self, form: str, days: int | None, whole: int | None) -> str:
        """Nothing, if it is all of them."""
        return "" if days == whole else ", " + self[form].format(days=days, whole=whole)
