"""What the API of the desk can do, put together."""

from collections.abc import Callable, Mapping

from collector.alerting.definitions import Definition
from collector.api.desk.agents import AgentOperations
from collector.api.desk.alerts import operations as alert_operations
from collector.api.desk.assignment import operations as assignment_operations
from collector.api.desk.checklists import operations as checklist_operations
from collector.api.desk.contacts import operations as contact_operations
from collector.api.desk.contracts import ContractOperations
from collector.api.desk.customers import CustomerOperations
from collector.api.desk.device_events import operations as device_event_operations
from collector.api.desk.devices import operations as device_operations
from collector.api.desk.maintenance import MaintenanceOperations
from collector.api.desk.offers import OfferOperations
from collector.api.desk.on_call import operations as on_call_operations
from collector.api.desk.operations import AnyOperation
from collector.api.desk.portal import operations as portal_operations
from collector.api.desk.printers import PrinterOperations
from collector.api.desk.reports import ReportOperations
from collector.api.desk.shadow_tickets import operations as shadow_operations
from collector.api.desk.silences import operations as silence_operations
from collector.api.desk.sites import operations as site_operations
from collector.api.desk.sla import SlaOperations
from collector.api.desk.technicians import operations as technician_operations
from collector.api.desk.thresholds import ThresholdOperations
from collector.api.desk.ticket_changes import operations as ticket_change_operations
from collector.api.desk.ticket_files import operations as ticket_file_operations
from collector.api.desk.ticket_relations import operations as ticket_relation_operations
from collector.api.desk.tickets import operations as ticket_operations
from collector.api.desk.tokens import TokenOperations
from collector.api.desk.users import operations as user_operations
from collector.api.desk.windows import WindowOperations
from collector.api.desk.work import operations as work_operations
from collector.contracts import ServiceModels
from collector.contracts.maintenance_tasks import MaintenanceTasks
from collector.contracts.promises import SlaBook
from collector.desk.clock_reading import Promises
from collector.fleet.directory import FleetDirectory


def desk_operations(
    directory: Callable[[], FleetDirectory],
    definitions: Callable[[], Mapping[str, Definition]],
    models: ServiceModels,
    promises: Promises,
    *,
    tasks: MaintenanceTasks,
    book: SlaBook,
    escalate_to: str,
    max_devices: int,
) -> list[AnyOperation]:
    return [
        *alert_operations(models),
        *shadow_operations(),
        *ticket_operations(),
        *ticket_change_operations(),
        *ticket_relation_operations(),
        *ticket_file_operations(),
        *portal_operations(),
        *work_operations(models),
        *checklist_operations(),
        *MaintenanceOperations(directory, models, tasks).operations(),
        *assignment_operations(),
        *technician_operations(book, escalate_to),
        *on_call_operations(),
        *SlaOperations(promises).operations(),
        *silence_operations(),
        *WindowOperations(directory).operations(),
        *ThresholdOperations(directory, definitions, models).operations(),
        *AgentOperations(directory).operations(),
        *device_operations(),
        *device_event_operations(),
        *PrinterOperations(models, max_devices).operations(),
        *CustomerOperations(models).operations(),
        *site_operations(),
        *ContractOperations(models).operations(),
        *OfferOperations(models, book).operations(),
        *contact_operations(),
        *user_operations(),
        *TokenOperations(models).operations(),
        *ReportOperations(models).operations(),
    ]
