"""How a file beside a ticket is told."""

from datetime import datetime

from pydantic import BaseModel, Field


class Attachment(BaseModel, from_attributes=True):
    id: int
    ticket: int
    name: str
    media_type: str
    size_bytes: int
    digest: str = Field(description="SHA-256, hex.")
    is_public: bool = Field(description="The customer sees it.")
    added_by: str
    added_at: datetime
