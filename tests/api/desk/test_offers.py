"""What is sold and promised, read over HTTP."""

import pytest

from tests.api.desk.conftest import Desk


async def test_what_is_sold(desk: Desk) -> None:
    names = [one["name"] for one in (await desk.get("/service-models"))["items"]]
    assert names == ["break_fix", "hybrid", "managed", "monthly"]
    monthly = await desk.get("/service-models/monthly")
    assert (monthly["on_alert"], monthly["charge"]["monthly_fee"]) == ("ticket", "75.00")
    assert monthly["charge"]["per_device"]["server"] == "65.00"
    assert monthly["onboarding"][0] == {"nl": "Intake", "en": "Intake", "seen": None}


async def test_what_is_promised(desk: Desk) -> None:
    standard = await desk.get("/slas/standard")
    assert standard["targets"][0] == {"priority": "P1", "response_seconds": 3600, "resolution_seconds": 8 * 3600}
    assert standard["targets"][3]["resolution_seconds"] is None
    first = await desk.get("/slas?limit=2")
    assert [one["name"] for one in first["items"]] == ["critical", "response_only"]
    assert [one["name"] for one in (await desk.get(f"/slas?cursor={first['next_cursor']}"))["items"]] == ["standard"]
    level = await desk.get("/support-levels/lunch_break")
    assert (level["time_zone"], level["closing_days"]["12-24"]) == ("Europe/Amsterdam", "Christmas Eve")


@pytest.mark.parametrize("path", ["/service-models", "/slas", "/support-levels"])
async def test_it_is_the_providers(desk: Desk, path: str) -> None:
    assert await desk.refused("GET", f"{path}/nothing") == (404, "not_found")
    assert await desk.refused("GET", path, who="acme") == (403, "forbidden")
    assert await desk.refused("GET", f"{path}/standard", who="contact") == (403, "forbidden")
    assert (await desk.ask("GET", path, who="viewer")).status == 200
