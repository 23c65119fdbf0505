"""The clocks of a ticket over HTTP, as a running collector keeps them."""

from datetime import datetime, timedelta

from sqlalchemy import select

from collector.db.tables import ticket_clocks
from tests.api.desk.conftest import Desk


async def test_the_clocks_of_a_ticket_line_by_line(desk: Desk) -> None:
    (ticket,) = (await desk.get("/tickets"))["items"]
    told = await desk.get(f"/tickets/{ticket['number']}/sla", who="viewer")
    assert (told["plan"], told["sla"], told["support_level"]) == ("monthly", "standard", "8x5")
    assert (told["time_zone"], told["escalate_to"]) == ("Europe/Amsterdam", "second-line")
    response, resolution = told["clocks"]
    assert [response["name"], resolution["name"]] == ["response", "resolution"]
    assert resolution["target_seconds"] == 8 * 3600 and ticket["priority"] == "P1"
    for clock in told["clocks"]:
        lines = clock["lines"]
        assert (lines[0]["start"], lines[-1]["end"]) == (ticket["opened_at"], told["as_of"])
        assert lines[-1]["total_seconds"] == clock["used_seconds"]
        counted = sum(
            (datetime.fromisoformat(one["end"]) - datetime.fromisoformat(one["start"])).total_seconds()
            for one in lines
            if one["why_not"] is None
        )
        assert int(counted) == clock["used_seconds"]
    assert await desk.refused("GET", f"/tickets/{ticket['number']}/sla", who="bakkerij") == (404, "not_found")
    assert await desk.refused("GET", f"/tickets/{ticket['number']}/sla", who="ny") == (404, "not_found")
    assert await desk.refused("GET", "/tickets/999999/sla") == (404, "not_found")


async def test_a_running_collector_keeps_the_clocks_and_tells_of_them(desk: Desk) -> None:
    (ticket,) = (await desk.get("/tickets"))["items"]
    before = (await desk.get(f"/tickets/{ticket['number']}/sla"))["clocks"][0]
    wait = datetime.fromisoformat(before["due_at"]) - desk.life.now
    await desk.life.pass_(wait + timedelta(minutes=1), step=timedelta(minutes=15))
    await desk.life.pass_(timedelta(minutes=15), step=timedelta(minutes=15))
    told = await desk.get(f"/tickets/{ticket['number']}")
    kinds = [event["type"] for event in told["history"]]
    assert (kinds.count("terms"), kinds.count("sla_warned"), kinds.count("sla_breached")) == (1, 1, 1)
    assert [event["data"]["to"] for event in told["history"] if event["type"] == "escalated"] == ["second-line"]
    async with desk.life.opened() as state, state.connect() as connection:
        rows = await connection.execute(select(ticket_clocks.c.clock, ticket_clocks.c.state))
        assert dict(rows.all()) == {"response": "breached", "resolution": "running"}
    async with desk.session.get(desk.url + "/metrics") as page:
        text = await page.text()
    assert 'quarkpulse_sla_clocks{clock="response",priority="P1",state="breached"} 1.0' in text
    assert 'quarkpulse_sla_breaches_total{clock="response",priority="P1"} 1.0' in text
