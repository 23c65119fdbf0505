"""What incidents ask about the world, where every device is well and all customers have one contract."""

from collector.contracts import ServiceModel
from collector.incidents.round import Surroundings
from collector.incidents.settings import IncidentSettings


def surroundings(model: ServiceModel) -> Surroundings:
    return Surroundings(
        lambda _customer, _at: model,
        is_seen=lambda _device, _at: True,
        last_heard=lambda _device: None,
        is_ended=lambda _device, _at: False,
        tags_of=lambda _device: (),
        inhibit_rules=tuple,
        settings=IncidentSettings(),
    )
