from collector.clock import from_milliseconds, to_milliseconds
from collector.db.database import Database
from collector.fleet.events import record_events
from collector.fleet.told_events import events_of
from protocol.models import Event
from tests.fleet.world import NOW, World, make_customer, make_token, request


async def test_the_newest_events_of_a_device_come_first(database: Database) -> None:
    began = to_milliseconds(NOW)
    async with database.begin() as connection:
        await make_customer(connection)
        world = World()
        ids = []
        for name in ("one", "two"):
            asked = request(await make_token(connection), hostname=name, machine_id=name, serial=None)
            ids.append((await world.enrollment.enroll(connection, asked, NOW)).device_id)
        for number, device in enumerate(ids * 2):
            told = [
                Event.model_validate({"id": f"{number}-{kind}", "t": began + number * 1000, "type": kind, "n": number})
                for kind in ("check_changed", "resumed")
            ]
            await record_events(connection, device, told, None, NOW)
    async with database.connect() as connection:
        changed = await events_of(connection, ids[0], 10, only="check_changed")
        newest = await events_of(connection, ids[0], 1)
    assert [(one.at, one.data) for one in changed] == [
        (from_milliseconds(began + 2000), {"n": 2}),
        (NOW, {"n": 0}),
    ]
    assert [(one.at, one.received_at) for one in newest] == [(from_milliseconds(began + 2000), NOW)]
