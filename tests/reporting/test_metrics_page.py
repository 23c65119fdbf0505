"""`docs/reference/collector-metrics.md` against what a collector really says on `/metrics`."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.harness import collector_in

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "collector-metrics.md"
ROW = re.compile(r"\| `(?P<name>\w+)` \| (?P<type>\w+) \| (?P<labels>[^|]*) \| (?P<meaning>[^|]*) \|")
OF_THE_PROCESS = ("process_", "python_")  # told of in one sentence


@pytest.mark.slow
def test_every_metric_stands_on_the_page_as_it_is(tmp_path: Path, database_url: str) -> None:
    with collector_in(tmp_path, database_url=database_url) as collector:
        collector.add_customers()
        collector.enrol("acme")
        text = collector.request("GET", "/metrics").text
    told = {found["name"]: found for found in ROW.finditer(PAGE.read_text(encoding="utf-8"))}
    wrong = []
    for family in text_string_to_metric_families(text):
        if family.name.startswith(OF_THE_PROCESS) or family.name.endswith("_created"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le", "quantile"})
        row = told.pop(name, None)
        named = re.findall(r"`(\w+)`", row["labels"]) if row else []
        is_right = row is not None and (row["type"], row["meaning"]) == (family.type, family.documentation)
        if not is_right or (labels and sorted(named) != labels):  # without a sample nobody knows the labels
            shown = ", ".join(f"`{label}`" for label in labels or named)
            wrong.append(f"| `{name}` | {family.type} | {shown} | {family.documentation} |")
    assert not wrong, "write into the page:\n" + "\n".join(wrong)
    assert not told, "no longer there, delete from the page"
