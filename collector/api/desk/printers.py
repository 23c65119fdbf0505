"""`/printers` and `/found-printers`: devices that an agent of their site reads, and those that agents came upon."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from collector.api.desk.callers import Caller, missing
from collector.api.desk.operations import AnyOperation, Call, NoParameters, Operation, Request
from collector.api.desk.paging import cut
from collector.api.desk.printer_shapes import (
    TOLD_BY_THE_PRINTER,
    Acceptance,
    FoundFilter,
    FoundId,
    FoundPage,
    FoundPrinter,
    IppTold,
    NewPrinter,
    Printer,
    PrinterFilter,
    PrinterId,
    PrinterInFull,
    PrinterPage,
    PrinterPatch,
    PrinterUsed,
    SnmpTold,
    SupplyTold,
    SupplyUsed,
    TrayTold,
    UsageFilter,
    UsagePage,
)
from collector.contracts import ServiceModels
from collector.contracts.months import Month
from collector.fleet.errors import NotFoundError
from collector.fleet.printers import found as finds
from collector.fleet.printers import store
from collector.fleet.printers.asking import Asking, checked_asking
from collector.fleet.printers.store import PrinterChange
from collector.fleet.printers.supplies import load_supplies
from collector.fleet.printers.usage import PrinterUsage, printer_usage
from collector.fleet.roles import Role


@dataclass(frozen=True, slots=True)
class PrinterOperations:
    models: ServiceModels
    max_devices: int

    async def list_printers(self, call: Call[PrinterFilter, None]) -> PrinterPage:
        asked, caller = call.params, call.caller
        customer, site = asked.customer or caller.customer, asked.site or caller.site
        if caller.customer not in (None, customer) or caller.site not in (None, site):
            return PrinterPage(items=[], next_cursor=None)
        found = await store.list_printers(
            call.connection, customer=customer, site=site, after=asked.after, limit=asked.limit + 1
        )
        page, cursor = cut(found, asked.limit, lambda one: one.id)
        return PrinterPage(items=[Printer(**_fields(one)) for one in page], next_cursor=cursor)

    async def get_printer(self, call: Call[PrinterId, None]) -> PrinterInFull:
        return await _told(call.connection, await _seen(call.connection, call.caller, call.params.id))

    async def add_printer(self, call: Call[NoParameters, NewPrinter]) -> PrinterInFull:
        asked = call.body
        call.caller.require(f"site {asked.customer}/{asked.site}", asked.customer, asked.site)
        new = store.NewPrinter(
            asked.customer,
            asked.site,
            asked.address,
            checked_asking(_given(asked.snmp), _given(asked.ipp), asked.interval_seconds),
            asked.name,
            asked.reader,
        )
        device = await store.add_printer(
            call.connection, self.models, new, max_devices=self.max_devices, actor=call.caller.name, now=call.now
        )
        return await _told(call.connection, await store.get_printer(call.connection, device))

    async def change_printer(self, call: Call[PrinterId, PrinterPatch]) -> PrinterInFull:
        given = call.body.given()
        was = await store.get_printer(call.connection, call.params.id)
        change = PrinterChange(
            name=given.get("name"),
            address=given.get("address"),
            asking=_changed(was.asking, given),
            reader=(given["reader"] or "") if "reader" in given else None,
        )
        found = await store.change_printer(
            call.connection, call.params.id, change, actor=call.caller.name, now=call.now
        )
        return await _told(call.connection, found)

    async def end_printer(self, call: Call[PrinterId, None]) -> PrinterInFull:
        await store.end_printer(call.connection, call.params.id, actor=call.caller.name, now=call.now)
        return await self.get_printer(call)

    async def printers_used(self, call: Call[UsageFilter, None]) -> UsagePage:
        asked, caller = call.params, call.caller
        customer = asked.customer or caller.customer
        if caller.customer not in (None, customer):
            return UsagePage(items=[], next_cursor=None)
        month, after, most = Month.parse(asked.month), asked.after, asked.limit + 1
        found = await printer_usage(
            call.connection, month, customer=customer, site=caller.site, after=after, limit=most
        )
        page, cursor = cut(found, asked.limit, lambda one: one.printer.id)
        return UsagePage(items=[_used(one) for one in page], next_cursor=cursor)

    async def list_found_printers(self, call: Call[FoundFilter, None]) -> FoundPage:
        asked, caller = call.params, call.caller
        customer, site = asked.customer or caller.customer, asked.site or caller.site
        if caller.customer not in (None, customer) or caller.site not in (None, site):
            return FoundPage(items=[], next_cursor=None)
        found = await finds.list_found(
            call.connection,
            customer=customer,
            site=site,
            everything=asked.all,
            after=asked.after,
            limit=asked.limit + 1,
        )
        page, cursor = cut(found, asked.limit, lambda one: one.id)
        return FoundPage(items=[_found(one) for one in page], next_cursor=cursor)

    async def get_found_printer(self, call: Call[FoundId, None]) -> FoundPrinter:
        return _found(await _seen_find(call.connection, call.caller, call.params.id))

    async def accept_found_printer(self, call: Call[FoundId, Acceptance]) -> PrinterInFull:
        asked, number = call.body, call.params.id
        found = await _seen_find(call.connection, call.caller, number)
        snmp, ipp = _given(asked.snmp), _given(asked.ipp)
        if snmp is None and ipp is None:
            snmp = {} if "snmp" in found.ways or not found.ways else None
            ipp = {} if "ipp" in found.ways else None
        device = await finds.accept_found(
            call.connection,
            self.models,
            number,
            asking=checked_asking(snmp, ipp, asked.interval_seconds),
            name=asked.name,
            reader=asked.reader,
            max_devices=self.max_devices,
            actor=call.caller.name,
            now=call.now,
        )
        return await _told(call.connection, await store.get_printer(call.connection, device))

    async def dismiss_found_printer(self, call: Call[FoundId, None]) -> FoundPrinter:
        """One that is dismissed stays as it is."""
        number = call.params.id
        await _seen_find(call.connection, call.caller, number)
        await finds.dismiss_found(call.connection, number, actor=call.caller.name, now=call.now)
        return _found(await finds.get_found(call.connection, number))

    def operations(self) -> list[AnyOperation]:
        one = Operation(
            "GET",
            "/printers/{id}",
            "One printer with its supplies",
            PrinterId,
            None,
            PrinterInFull,
            self.get_printer,
            moving=TOLD_BY_THE_PRINTER,
        )
        find = Operation(
            "GET",
            "/found-printers/{id}",
            "One printer that an agent came upon",
            FoundId,
            None,
            FoundPrinter,
            self.get_found_printer,
            moving=frozenset({"last_found_at", "address", "model", "serial", "ways", "found_by"}),
        )
        return [
            Operation("GET", "/printers", "Printers, by id", PrinterFilter, None, PrinterPage, self.list_printers),
            one,
            Operation(
                "POST",
                "/printers",
                "Add a printer",
                NoParameters,
                NewPrinter,
                PrinterInFull,
                self.add_printer,
                creates=True,
            ),
            Operation(
                "PATCH",
                "/printers/{id}",
                "Change a printer, or how it is asked",
                PrinterId,
                PrinterPatch,
                PrinterInFull,
                self.change_printer,
                changes=one,
            ),
            Operation(
                "DELETE",
                "/printers/{id}",
                "Read a printer no longer",
                PrinterId,
                None,
                PrinterInFull,
                self.end_printer,
                changes=one,
                role=Role.MANAGER,
                description="Its passwords are forgotten.",
            ),
            Operation(
                "GET",
                "/printer-usage",
                "Pages and supplies that printers used in a month, by printer",
                UsageFilter,
                None,
                UsagePage,
                self.printers_used,
            ),
            Operation(
                "GET",
                "/found-printers",
                "Printers that agents came upon, by number",
                FoundFilter,
                None,
                FoundPage,
                self.list_found_printers,
            ),
            find,
            Operation(
                "POST",
                "/found-printers/{id}/accept",
                "Make a printer that was found a device",
                FoundId,
                Acceptance,
                PrinterInFull,
                self.accept_found_printer,
                works_on=find,
            ),
            Operation(
                "POST",
                "/found-printers/{id}/dismiss",
                "Propose a printer that was found no more",
                FoundId,
                None,
                FoundPrinter,
                self.dismiss_found_printer,
                works_on=find,
            ),
        ]


async def _seen(connection: AsyncConnection, caller: Caller, device: str) -> store.Printer:
    """Raises Refusal (404) unless there is one that the caller sees."""
    try:
        found = await store.get_printer(connection, device)
    except NotFoundError:
        raise missing(f"printer {device}") from None
    caller.require(f"printer {device}", found.customer, found.site)
    return found


async def _seen_find(connection: AsyncConnection, caller: Caller, number: int) -> finds.FoundPrinter:
    """Raises Refusal (404) unless there is one that the caller sees."""
    try:
        found = await finds.get_found(connection, number)
    except NotFoundError:
        raise missing(f"found printer {number}") from None
    caller.require(f"found printer {number}", found.customer, found.site)
    return found


async def _told(connection: AsyncConnection, printer: store.Printer) -> PrinterInFull:
    supplies = [
        SupplyTold(**{name: getattr(one, name) for name in SupplyTold.model_fields})
        for one in await load_supplies(connection, [printer.id])
    ]
    return PrinterInFull(
        **_fields(printer),
        refusal=printer.told("refusal"),
        display=printer.told("display"),
        trays=[TrayTold(**one) for one in printer.trays()],
        supplies=supplies,
    )


def _fields(printer: store.Printer) -> dict[str, Any]:
    snmp, ipp = printer.asking.snmp, printer.asking.ipp
    return {
        **printer.shown(),
        "snmp": None if snmp is None else SnmpTold(**{name: getattr(snmp, name) for name in SnmpTold.model_fields}),
        "ipp": None if ipp is None else IppTold(**{name: getattr(ipp, name) for name in IppTold.model_fields}),
        "interval_seconds": printer.asking.interval_seconds,
    }


def _used(usage: PrinterUsage) -> PrinterUsed:
    printer = usage.printer
    supplies = [
        SupplyUsed(
            **{name: getattr(one.supply, name) for name in SupplyTold.model_fields}, used=one.used, changes=one.changes
        )
        for one in usage.supplies
    ]
    return PrinterUsed(
        id=printer.id,
        customer=printer.customer,
        site=printer.site,
        name=printer.name,
        model=printer.told("model"),
        serial=printer.serial,
        pages=usage.pages,
        counter=usage.counter,
        days=usage.days,
        supplies=supplies,
    )


def _found(found: finds.FoundPrinter) -> FoundPrinter:
    return FoundPrinter(**{name: getattr(found, name) for name in FoundPrinter.model_fields})


def _given(asked: Request | None) -> dict[str, Any] | None:
    return None if asked is None else asked.model_dump(mode="json", exclude_none=True)


def _changed(was: Asking, given: dict[str, Any]) -> Asking | None:
    """Raises FleetError."""
    if not {"snmp", "ipp", "interval_seconds"} & given.keys():
        return None
    return checked_asking(
        _given(given["snmp"]) if "snmp" in given else _stored(was.snmp),
        _given(given["ipp"]) if "ipp" in given else _stored(was.ipp),
        given.get("interval_seconds", was.interval_seconds),
    )


def _stored(model: BaseModel | None) -> dict[str, Any] | None:
    return None if model is None else model.model_dump(mode="json", exclude_none=True)
