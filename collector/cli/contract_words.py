"""What a contract or a service model charges and promises, for people: amounts with currency, and who says them."""

from collector.cli.common import Row
from collector.contracts import Charge, ServiceModel
from collector.contracts.charge import Hours, Travel
from collector.contracts.charging import Agreed, Price, Terms, terms_of
from collector.fleet.contracts import Contract
from collector.reporting.billing import amounts_of


def charged(model: ServiceModel) -> Row:
    """The prices of a model, without VAT."""
    return _prices(terms_of(model.name, model.charge, Agreed(0)), whose=False)


def agreed(contract: Contract, model: ServiceModel | None) -> tuple[Row, tuple[str, ...]]:
    """What holds under a contract, and who says so, as bills go by it; with what is odd about its prices. `model` None:
    the file has it no more."""
    said = contract.agreement
    charge = contract.charge or (Charge() if model is None else model.charge)
    terms = terms_of(contract.plan, charge, amounts_of(contract))
    of_model = (None, None) if model is None else (model.sla, model.support_level)
    promised = zip(("sla", "support_level"), (said.sla, said.support_level), of_model, strict=True)
    return {
        **_prices(terms, whose=True),
        "prices": "as service_models.yaml says now" if contract.charge is None else "as agreed",
        **{name: _by_model(theirs) if ours is None else ours for name, ours, theirs in promised},
    }, terms.notices


def covered(contract: Contract) -> str:
    scope = contract.agreement.scope
    if scope is None:
        return f"all that {contract.customer} has"
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in scope.as_json().items() if names)


def _prices(terms: Terms, *, whose: bool) -> Row:
    def told(price: Price) -> str:
        return f"{price.amount:.2f} {terms.currency}" + (f" ({price.source})" if whose else "")

    hours = terms.hours
    priced = {kind: price for kind, price in terms.per_device.items() if price.amount}
    return {
        "monthly_fee": told(terms.fee),
        "per_device": ", ".join(f"{kind} {price.amount:.2f}" for kind, price in priced.items()) or None,
        "hourly_rate": "hours are not charged" if terms.rate is None else told(terms.rate),
        "hours": None if hours is None else _hours(hours),
        "included_minutes": None if hours is None else terms.included_minutes,
        "travel": None if hours is None else _travel(hours, terms.currency),
        "vat_percent": None if terms.vat_percent is None else f"{terms.vat_percent:f}",
    }


def _by_model(name: str | None) -> str | None:
    return None if name is None else f"{name} (model)"


def _hours(hours: Hours) -> str:
    minimum = f", {hours.minimum_minutes} min at least" if hours.minimum_minutes else ""
    rounds = f"rounds of maintenance {hours.maintenance}"
    return f"by {hours.per}, rounded up to {hours.rounding_minutes} min{minimum}; {rounds}"


def _travel(hours: Hours, currency: str) -> str:
    if hours.travel is Travel.CALL_OUT:
        return f"{hours.call_out_fee:.2f} {currency} a day of a ticket"
    return hours.travel.replace("_", " ")
