"""What a ticket is about in the words that its rule has for customers, in Dutch and English."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.db.tables import alerts


@dataclass(frozen=True, slots=True)
class CustomerSummary:
    """One sentence for each language; None where the rule has none."""

    nl: str | None = None
    en: str | None = None

    def in_language(self, language: str) -> str | None:
        return self.en if language == "en" else self.nl


async def customer_summary_of(connection: AsyncConnection, number: int) -> CustomerSummary:
    """Of the alert that opened the ticket, as of now; of a ticket without alerts there is none."""
    query = select(alerts.c.annotations).where(alerts.c.ticket == number).order_by(alerts.c.id).limit(1)
    annotations = await connection.scalar(query) or {}
    return CustomerSummary(annotations.get("customer_summary_nl"), annotations.get("customer_summary_en"))
