"""What `/printers`, `/printer-usage` and `/found-printers` take and tell."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from collector.api.desk.operations import Patch, Request
from collector.api.desk.paging import Page, PagingByName, PagingByNumber, PagingOfReckoned
from collector.api.desk.shapes import Id, Number
from collector.fleet.printers.asking import MAX_INTERVAL_SECONDS, MIN_INTERVAL_SECONDS
from protocol.wire import DEFAULT_PRINTER_INTERVAL_SECONDS, SnmpVersion

Auth = Literal["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]
Privacy = Literal["des", "aes128", "aes192", "aes256"]
# What changes without anybody changing the printer.
TOLD_BY_THE_PRINTER = frozenset(
    {
        "serial",
        "model",
        "firmware",
        "location",
        "reader",
        "reader_since",
        "last_seen",
        "supplies",
        "trays",
        "display",
        "refusal",
    }
)


class SnmpTold(BaseModel):
    """How it is asked by SNMP; communities and passwords are never told."""

    version: SnmpVersion
    port: int
    user: str | None
    auth: Auth | None
    privacy: Privacy | None


class IppTold(BaseModel):
    port: int
    path: str
    tls: bool


class SnmpAsked(Request):
    version: SnmpVersion = SnmpVersion.V2C
    port: int = Field(default=161, ge=1, le=65_535)
    community: str | None = Field(
        default=None, min_length=1, max_length=256, description="Of versions 1 and 2c; public if it is left out."
    )
    user: str | None = Field(default=None, min_length=1, max_length=128, description="Of version 3.")
    auth: Auth | None = None
    auth_password: str | None = Field(default=None, min_length=8, max_length=256)
    privacy: Privacy | None = None
    privacy_password: str | None = Field(default=None, min_length=8, max_length=256)


class IppAsked(Request):
    port: int = Field(default=631, ge=1, le=65_535)
    path: str = Field(default="/ipp/print", pattern="^/", max_length=256)
    tls: bool = False


class SupplyTold(BaseModel):
    index: str
    type: str
    color: str
    description: str
    level_ratio: float | None
    is_empty: bool
    days_left: float | None = Field(description="Until it is told as empty, at the pace of the last weeks.")
    pages_per_cartridge: float | None = Field(description="How many one made so far.")
    changed_at: datetime | None


class Printer(BaseModel):
    id: str
    customer: str
    site: str
    name: str
    address: str | None
    model: str | None
    serial: str | None
    firmware: str | None
    location: str | None
    reader: str | None = Field(description="The device whose agent reads it now.")
    preferred_reader: str | None = Field(description="The one that shall, whenever it can; null: any of the site.")
    reader_since: datetime | None
    last_seen: datetime | None
    added_at: datetime
    ended_at: datetime | None
    snmp: SnmpTold | None
    ipp: IppTold | None
    interval_seconds: float


class TrayTold(BaseModel):
    index: str | None
    name: str | None
    media: str | None
    max_capacity: float | None


class PrinterInFull(Printer):
    refusal: str | None = Field(description="Why it is not read until somebody does something.")
    display: str | None = Field(description="The lines of its panel, when its tables were read last.")
    trays: list[TrayTold]
    supplies: list[SupplyTold]


class NewPrinter(Request):
    customer: Id
    site: Id
    address: str = Field(min_length=1, max_length=200, examples=["192.0.2.31"])
    name: str | None = Field(
        default=None, min_length=1, max_length=200, description="Its address, if it is left out.", examples=["Hall"]
    )
    reader: Id | None = Field(default=None, description="The device whose agent shall read it; any if it is left out.")
    snmp: SnmpAsked | None = Field(default_factory=SnmpAsked, description="null: not by SNMP.")
    ipp: IppAsked | None = None
    interval_seconds: float = Field(
        default=DEFAULT_PRINTER_INTERVAL_SECONDS, ge=MIN_INTERVAL_SECONDS, le=MAX_INTERVAL_SECONDS
    )


class PrinterPatch(Patch):
    name: str = Field(default="", min_length=1, max_length=200, examples=["Hall"])
    address: str = Field(default="", min_length=1, max_length=200)
    reader: Id | None = Field(default=None, description="The device whose agent shall read it; null: any.")
    snmp: SnmpAsked | None = Field(default=None, description="All of it anew; null: not by SNMP.")
    ipp: IppAsked | None = Field(default=None, description="All of it anew; null: not by IPP.")
    interval_seconds: float = Field(default=0, ge=MIN_INTERVAL_SECONDS, le=MAX_INTERVAL_SECONDS)


class FoundPrinter(BaseModel):
    id: int
    customer: str
    site: str
    found_by: str
    address: str
    serial: str | None
    model: str | None
    ways: list[str] = Field(description="Of reading it: snmp, ipp.")
    first_found_at: datetime
    last_found_at: datetime
    device: str | None = Field(description="That it was accepted as.")
    dismissed_at: datetime | None


class Acceptance(Request):
    name: str | None = Field(
        default=None, min_length=1, max_length=200, description="Its address, if it is left out.", examples=["Hall"]
    )
    reader: Id | None = None
    snmp: SnmpAsked | None = Field(default=None, description="Version 2c and public, if it answered to SNMP.")
    ipp: IppAsked | None = Field(default=None, description="As is usual, if it answered to IPP.")
    interval_seconds: float = Field(
        default=DEFAULT_PRINTER_INTERVAL_SECONDS, ge=MIN_INTERVAL_SECONDS, le=MAX_INTERVAL_SECONDS
    )


class SupplyUsed(SupplyTold):
    used: float = Field(description="In cartridges: 1.5 is one and a half.")
    changes: int = Field(description="How often it was replaced or refilled.")


class PrinterUsed(BaseModel):
    id: str
    customer: str
    site: str
    name: str
    model: str | None
    serial: str | None
    pages: int | None = Field(description="null: it told no counter in the month.")
    counter: float | None = Field(description="What it said last in the month.")
    days: int = Field(description="On which it told anything.")
    supplies: list[SupplyUsed]


class UsagePage(Page[PrinterUsed]):
    pass


class PrinterPage(Page[Printer]):
    pass


class FoundPage(Page[FoundPrinter]):
    pass


class PrinterFilter(PagingByName):
    customer: str | None = Field(default=None, max_length=64)
    site: str | None = Field(default=None, max_length=64)


class UsageFilter(PagingOfReckoned):
    month: str = Field(
        pattern=r"^20\d\d-(0[1-9]|1[0-2])$", description="By the clock of each site.", examples=["2026-03"]
    )
    customer: str | None = Field(default=None, max_length=64)


class FoundFilter(PagingByNumber):
    customer: str | None = Field(default=None, max_length=64)
    site: str | None = Field(default=None, max_length=64)
    all: bool = Field(default=False, description="Also those that were accepted or dismissed.")


class PrinterId(Request):
    id: str = Field(min_length=1, max_length=64)


class FoundId(Request):
    id: Number
