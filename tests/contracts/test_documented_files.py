"""The files that the documentation shows are files that are taken."""

import re
from pathlib import Path

from collector.contracts import load_service_models
from collector.contracts.maintenance_tasks import load_maintenance_tasks

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


def shown(page: str) -> str:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", (HOW_TO / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(block)


def test_the_service_model_of_the_page_on_bills(tmp_path: Path) -> None:
    (tmp_path / "service_models.yaml").write_text(shown("bill-a-month.md"))
    assert load_service_models(tmp_path)["by_the_hour"].charge.hours is not None


def test_the_task_of_the_page_on_maintenance(tmp_path: Path) -> None:
    (tmp_path / "maintenance_tasks.yaml").write_text(shown("plan-maintenance.md"))
    assert load_maintenance_tasks(tmp_path)["firewall_review"].skill == "network"
