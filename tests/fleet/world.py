"""A customer, and agents that enrol."""

from datetime import UTC, datetime, timedelta
from itertools import count

from sqlalchemy.ext.asyncio import AsyncConnection

from collector.contracts import load_service_models
from collector.fleet.agreements import Consent
from collector.fleet.customers import add_customer
from collector.fleet.enrollment import Enrollment
from collector.fleet.tokens import create_enrollment_token
from protocol.models import EnrollRequest
from protocol.wire import Kind

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MODELS = load_service_models()
ACTOR = "anna@desk-3"


async def make_customer(
    connection: AsyncConnection, customer: str = "acme", plan: str = "monthly", consent: str | None = None
) -> None:
    await add_customer(
        connection,
        MODELS,
        customer=customer,
        name=customer.title(),
        plan=plan,
        consent=Consent.parse(consent) if consent else None,
        actor=ACTOR,
        now=NOW,
    )


async def make_token(
    connection: AsyncConnection, customer: str = "acme", site: str = "hq", uses: int = 1, now: datetime = NOW
) -> str:
    return await create_enrollment_token(
        connection, MODELS, customer=customer, site=site, kind=Kind.SERVER, uses=uses, actor=ACTOR, now=now
    )


class World:
    """Enrolment with suffixes that count up, and a record of who pushed when."""

    def __init__(self, max_devices: int = 100) -> None:
        self.received: dict[str, datetime] = {}
        numbers = count(1)
        self.enrollment = Enrollment(MODELS, self.received.get, max_devices, lambda: f"{next(numbers):04}")


def request(token: str, **changes: object) -> EnrollRequest:
    return EnrollRequest.model_validate(
        {
            "token": token,
            "hostname": "WS-Reception",
            "kind": "laptop",
            "machine_id": "m-1",
            "instance": "i-1",
            "serial": "SN1",
            "os": "Debian 12",
            "arch": "x86_64",
            "agent_version": "0.1.0",
            **changes,
        }
    )


def after(**duration: float) -> datetime:
    return NOW + timedelta(**duration)
