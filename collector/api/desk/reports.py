"""`/reports`: what a month costs, and what was maintained in it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pydantic import Field

from collector.api.desk.callers import missing
from collector.api.desk.operations import AnyOperation, Call, Operation
from collector.api.desk.paging import Page, PagingOfReckoned, cut
from collector.contracts import ServiceModels
from collector.contracts.months import Month
from collector.contracts.service_models import Report
from collector.fleet.people import Language
from collector.fleet.roles import Role
from collector.reporting import maintenance_shape
from collector.reporting.bill_shape import MonthlyBill, told
from collector.reporting.maintenance import maintained_customers, read_maintenance
from collector.reporting.maintenance_shape import MonthlyMaintenance
from collector.reporting.part_of import plans_without
from collector.reporting.usage import billed_customers, read_bills

MONTH_PATTERN = r"^20[0-9]{2}-(0[1-9]|1[0-2])$"


class BillPage(Page[MonthlyBill]):
    pass


class BillFilter(PagingOfReckoned):
    month: str = Field(pattern=MONTH_PATTERN, description="By the customer's clock.", examples=["2026-03"])
    customer: str | None = Field(
        default=None,
        max_length=64,
        description="Without one, those whose service models have no `billing` under `reported` are left out.",
    )
    language: Language | None = Field(
        default=None, description="Of the texts; without one each customer's: its main contact's, or Dutch."
    )


class MaintenancePage(Page[MonthlyMaintenance]):
    pass


class MaintenanceFilter(PagingOfReckoned):
    month: str = Field(pattern=MONTH_PATTERN, description="By the clock of each plan.", examples=["2026-03"])
    customer: str | None = Field(
        default=None,
        max_length=64,
        description="Without one, those whose service models have no `maintenance` under `reported` are left out.",
    )


@dataclass(frozen=True, slots=True)
class ReportOperations:
    models: ServiceModels

    async def report_billing(self, call: Call[BillFilter, None]) -> BillPage:
        month, ids, cursor = await self._customers(call, Report.BILLING, billed_customers, "bill")
        language = call.params.language
        bills = await read_bills(call.connection, self.models, month, ids, call.now, language=language)
        return BillPage(items=[told(bill) for bill in bills], next_cursor=cursor)

    async def report_maintenance(self, call: Call[MaintenanceFilter, None]) -> MaintenancePage:
        month, ids, cursor = await self._customers(call, Report.MAINTENANCE, maintained_customers, "maintenance report")
        reports = await read_maintenance(call.connection, month, call.now, ids)
        return MaintenancePage(items=[maintenance_shape.told(one) for one in reports], next_cursor=cursor)

    async def _customers(
        self,
        call: Call[BillFilter, None] | Call[MaintenanceFilter, None],
        report: Report,
        reported: Callable[..., Awaitable[list[str]]],
        what: str,
    ) -> tuple[Month, Sequence[str], str | None]:
        """The month, the customers of the page who are `reported`, and its cursor. Raises Refusal."""
        asked, caller = call.params, call.caller
        if caller.site is not None:
            raise missing(f"{what} of a site")
        month = Month.parse(asked.month)
        customer = asked.customer if caller.customer is None else caller.customer
        if asked.customer not in (None, customer):
            return month, [], None
        without = plans_without(self.models, report) if customer is None else ()
        found = await reported(
            call.connection, month, customer=customer, after=asked.after, limit=asked.limit + 1, without=without
        )
        return month, *cut(found, asked.limit, lambda one: one)

    def operations(self) -> list[AnyOperation]:
        return [
            Operation(
                "GET",
                "/reports/billing",
                "What a month costs each customer, line by line",
                BillFilter,
                None,
                BillPage,
                self.report_billing,
                role=Role.MANAGER,
            ),
            Operation(
                "GET",
                "/reports/maintenance",
                "What was maintained in a month, round by round, with what shows it",
                MaintenanceFilter,
                None,
                MaintenancePage,
                self.report_maintenance,
            ),
        ]
