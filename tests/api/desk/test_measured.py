"""`python -m bench desk` asks for every list of the API by every filter that it has."""

from bench._desk_lists import questions
from collector.app.operations import desk_operations
from collector.contracts import load_service_models
from collector.contracts.maintenance_tasks import load_maintenance_tasks
from collector.contracts.promises import load_sla_book
from collector.fleet.directory import FleetDirectory
from collector.incidents.promised import Promised


def test_each_filter_is_asked() -> None:
    models, book, directory = load_service_models(), load_sla_book(), FleetDirectory()
    operations = desk_operations(
        lambda: directory,
        dict,
        models,
        Promised(dict, directory.kind_and_tags, models, book),
        tasks=load_maintenance_tasks(),
        book=book,
        escalate_to="dispatch",
        max_devices=100,
    )
    for one in operations:
        fields = set(one.params.model_fields)
        if one.method == "GET" and "limit" in fields:
            asked = {name for question in questions(one, by_two=False) for name in question}
            assert asked == fields - {"limit", "cursor"}, one.path
