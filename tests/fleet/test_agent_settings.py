from pathlib import Path

import pytest
from sqlalchemy import update

from collector.api.agents import configure
from collector.db import audit
from collector.db.database import Database
from collector.db.tables import agent_settings
from collector.fleet.agent_keys import MAX_SERVICES_PER_LAYER, known_probes
from collector.fleet.agent_settings import (
    list_settings,
    probes_of_others,
    set_setting,
    settings_after,
    standing_of,
    unset_setting,
)
from collector.fleet.customers import ensure_site
from collector.fleet.directory import FleetDirectory, load_directory
from collector.fleet.errors import FleetError, NotFoundError
from collector.fleet.inventories import keep_inventory
from collector.fleet.layers import Layer
from collector.fleet.privacy import set_privacy
from protocol.models import Config
from tests.db.fixtures import counting_statements
from tests.fleet.living import living
from tests.fleet.world import ACTOR, NOW, World, after, make_customer, make_token, request

DISK = {"command": ["/usr/lib/nagios/plugins/check_disk", "-w", "10%", "-p", "/"]}


class Fleet:
    """Two devices of acme, at hq and at ny, and one of bakkerij."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ids: dict[str, str] = {}

    async def enrol(self) -> None:
        world = World()
        async with self.database.begin() as connection:
            for customer, site in (("acme", "hq"), ("acme", "ny"), ("bakkerij", "hq")):
                if f"{customer}-hq" not in self.ids:
                    await make_customer(connection, customer)
                await ensure_site(connection, customer=customer, site=site, actor=ACTOR, now=NOW)
                token = await make_token(connection, customer, site)
                asked = request(token, hostname=f"{customer}-{site}", machine_id=f"{customer}-{site}", serial=None)
                outcome = await world.enrollment.enroll(connection, asked, NOW)
                self.ids[f"{customer}-{site}"] = outcome.device_id

    async def tell(self, layer: Layer, subject: str, key: str, value: object, hours: float = 1) -> None:
        async with self.database.begin() as connection:
            await set_setting(
                connection,
                layer=layer,
                subject=self.ids.get(subject, subject),
                key=key,
                value=value,
                actor=ACTOR,
                now=after(hours=hours),
            )

    async def untell(self, layer: Layer, subject: str, key: str) -> None:
        async with self.database.begin() as connection:
            await unset_setting(
                connection, layer=layer, subject=self.ids.get(subject, subject), key=key, actor=ACTOR, now=NOW
            )

    async def directory(self) -> FleetDirectory:
        async with self.database.connect() as connection:
            return await load_directory(connection)

    async def configs(self) -> dict[str, tuple[Config, str]]:
        directory = await self.directory()
        made = {name: configure(directory.members[id_], directory, 60.0) for name, id_ in self.ids.items()}
        return {name: (one.config, one.etag) for name, one in made.items()}


@pytest.fixture
async def fleet(database: Database) -> Fleet:
    fleet = Fleet(database)
    await fleet.enrol()
    return fleet


async def test_the_nearest_layer_wins_and_lists_add_up(fleet: Fleet) -> None:
    for layer, subject, key, value in (
        (Layer.CUSTOMER, "acme", "push_interval", 30),
        (Layer.CUSTOMER, "acme", "interval.smart", 21_600),
        (Layer.CUSTOMER, "acme", "probe.temperature", False),
        (Layer.CUSTOMER, "acme", "service.nginx", True),
        (Layer.CUSTOMER, "acme", "check.root", DISK),
        (Layer.SITE, "acme/hq", "push_interval", 20),
        (Layer.SITE, "acme/hq", "service.cron", True),
        (Layer.DEVICE, "acme-hq", "probe.temperature", True),
        (Layer.DEVICE, "acme-hq", "service.nginx", False),
        (Layer.DEVICE, "acme-hq", "check.root", False),
        (Layer.DEVICE, "acme-hq", "check.load", {**DISK, "interval_seconds": 300, "timeout_seconds": 10}),
    ):
        await fleet.tell(layer, subject, key, value)
    configs = await fleet.configs()
    hq, ny, other = (configs[name][0] for name in ("acme-hq", "acme-ny", "bakkerij-hq"))
    assert (hq.push_interval_seconds, ny.push_interval_seconds, other.push_interval_seconds) == (20, 30, 60)
    assert hq.probe_intervals_seconds == ny.probe_intervals_seconds == {"smart": 21_600}
    assert (hq.probes_off, ny.probes_off) == ([], ["temperature"])
    assert (hq.services, ny.services) == (["cron"], ["nginx"])
    assert [(one.name, one.interval_seconds, one.timeout_seconds) for one in hq.custom_checks] == [("load", 300, 10)]
    assert [(one.name, one.command, one.interval_seconds) for one in ny.custom_checks] == [
        ("root", DISK["command"], 60)
    ]
    assert other == Config(push_interval_seconds=60.0, presence_policy="always")


async def test_the_etag_changes_for_those_concerned_and_for_nobody_else(fleet: Fleet) -> None:
    before = await fleet.configs()

    async def changed() -> set[str]:
        now = await fleet.configs()
        different = {name for name, (_, etag) in now.items() if etag != before[name][1]}
        before.update(now)
        return different

    await fleet.tell(Layer.SITE, "acme/ny", "interval.smart", 21_600)
    assert await changed() == {"acme-ny"}
    await fleet.tell(Layer.CUSTOMER, "acme", "interval.smart", 21_600)
    assert await changed() == {"acme-hq"}
    await fleet.tell(Layer.CUSTOMER, "acme", "probe.fans", True)  # as it is without it
    assert await changed() == set()
    async with fleet.database.begin() as connection:
        await set_privacy(connection, "bakkerij", software=True, actor=ACTOR, now=NOW)
    assert await changed() == {"bakkerij-hq"}
    await fleet.untell(Layer.SITE, "acme/ny", "interval.smart")
    assert await changed() == set()


async def test_changes_are_told_and_recorded(fleet: Fleet) -> None:
    await fleet.tell(Layer.CUSTOMER, "acme", "interval.smart", 21_600)
    await fleet.tell(Layer.CUSTOMER, "acme", "interval.smart", 43_200, hours=2)
    await fleet.tell(Layer.DEVICE, "acme-hq", "check.root", DISK)
    await fleet.tell(Layer.CUSTOMER, "bakkerij", "probe.smart", False)
    device = fleet.ids["acme-hq"]
    async with fleet.database.connect() as connection:
        found = await list_settings(connection)
        records = await audit.latest(connection, 4)
        target = (await load_directory(connection)).members[device].target
        standing = await standing_of(connection, target)
        of_acme = await settings_after(connection, None, 10, within=("acme", None))
        of_ny = await settings_after(connection, None, 10, within=("acme", "ny"))
        pages = (
            await settings_after(connection, None, 1),
            await settings_after(connection, ("customer", "acme", "interval.smart"), 10),
        )
    assert [(one.layer, one.subject, one.key, one.set_by, one.set_at) for one in found] == [
        (Layer.CUSTOMER, "acme", "interval.smart", ACTOR, after(hours=2)),
        (Layer.CUSTOMER, "bakkerij", "probe.smart", ACTOR, after(hours=1)),
        (Layer.DEVICE, device, "check.root", ACTOR, after(hours=1)),
    ]
    assert [(record.action, record.subject) for record in records] == [
        ("agents.set", "probe.smart"),
        ("agents.set", "check.root"),
        ("agents.set", "interval.smart"),
        ("agents.set", "interval.smart"),
    ]
    assert records[2].data == {"layer": "customer", "subject": "acme", "value": 43_200, "before": 21_600}
    assert [(one.key, one.layer) for one in standing] == [
        ("check.root", Layer.DEVICE),
        ("interval.smart", Layer.CUSTOMER),
    ]
    assert standing == (await fleet.directory()).agent_settings.standing(target)
    assert [one.subject for one in of_acme] == ["acme", device]
    assert of_ny == []
    assert [[one.subject for one in page] for page in pages] == [["acme"], ["bakkerij", device]]
    await fleet.untell(Layer.CUSTOMER, "acme", "interval.smart")
    with pytest.raises(NotFoundError, match=r"no interval\.smart is set for customer acme; see: agents list"):
        await fleet.untell(Layer.CUSTOMER, "acme", "interval.smart")


@pytest.mark.parametrize(
    ("layer", "subject", "key", "value", "complaint"),
    [
        (
            Layer.CUSTOMER,
            "acme",
            "interval.smrt",
            60,
            "there is no probe 'smrt' at customer acme; there are backups,",
        ),
        (Layer.CUSTOMER, "acme", "intervall.smart", 60, "cannot be told 'intervall.smart'; there are push_interval"),
        (Layer.CUSTOMER, "acme", "push_interval.cpu", 60, "cannot be told"),
        (Layer.CUSTOMER, "acme", "interval", 60, "cannot be told"),
        (Layer.CUSTOMER, "acme", "push_interval", 121, "push_interval is 1 to 120 seconds"),
        (Layer.CUSTOMER, "acme", "push_interval", True, "push_interval is 1 to 120 seconds"),
        (Layer.CUSTOMER, "acme", "interval.smart", 30, "interval.smart is 60 to 86400 seconds"),
        (Layer.CUSTOMER, "acme", "interval.cpu", float("nan"), "interval.cpu is 1 to 86400 seconds"),
        (Layer.CUSTOMER, "acme", "probe.cpu", "no", "probe.cpu is on or off"),
        (Layer.CUSTOMER, "acme", "service.--all", True, "a service is named without blanks"),
        (Layer.CUSTOMER, "acme", "service.a b", True, "a service is named without blanks"),
        (Layer.CUSTOMER, "acme", "check.a/b", DISK, "a check is named by letters"),
        (Layer.CUSTOMER, "acme", "check.a", True, "check.a is a command"),
        (Layer.CUSTOMER, "acme", "check.a", {"command": []}, "check.a: command: "),
        (Layer.CUSTOMER, "acme", "check.a", {"command": ["check_disk"]}, "the absolute path of a program"),
        (Layer.CUSTOMER, "acme", "check.a", {**DISK, "interval_seconds": 5}, "check.a: interval_seconds: "),
        (Layer.CUSTOMER, "nobody", "push_interval", 60, "there is no customer 'nobody'"),
        (Layer.SITE, "acme/nowhere", "push_interval", 60, "has no site 'nowhere'"),
        (Layer.DEVICE, "nothing", "push_interval", 60, "there is no device 'nothing'"),
        (Layer.PLAN, "monthly", "push_interval", 60, "not for a plan"),
    ],
)
async def test_what_cannot_be_told(
    fleet: Fleet, *, layer: Layer, subject: str, key: str, value: object, complaint: str
) -> None:
    with pytest.raises(FleetError) as refused:
        await fleet.tell(layer, subject, key, value)
    assert complaint in str(refused.value)


async def test_a_layer_has_room_for_so_many(fleet: Fleet) -> None:
    for number in range(MAX_SERVICES_PER_LAYER):
        await fleet.tell(Layer.CUSTOMER, "acme", f"service.s{number}", True)
    await fleet.tell(Layer.CUSTOMER, "acme", "service.s0", False)
    with pytest.raises(FleetError, match=r"has 33 settings of service\.NAME already"):
        await fleet.tell(Layer.CUSTOMER, "acme", "service.one-more", True)
    await fleet.tell(Layer.CUSTOMER, "acme", "probe.smart", False)


async def test_what_a_later_version_set_is_left_out(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    await fleet.tell(Layer.CUSTOMER, "acme", "interval.smart", 21_600)
    await fleet.tell(Layer.CUSTOMER, "acme", "probe.cpu", False)
    async with fleet.database.begin() as connection:
        await connection.execute(
            update(agent_settings).where(agent_settings.c.key == "interval.smart").values(key="colour.smart")
        )
    config, _ = (await fleet.configs())["acme-hq"]
    assert (config.probe_intervals_seconds, config.probes_off) == ({}, ["cpu"])
    assert "agents cannot be told 'colour.smart'" in caplog.text


async def test_serve_tells_an_agent_of_a_change_at_its_next_push(tmp_path: Path, database_url: str) -> None:
    async with living(tmp_path, database_url) as life:
        await life.add("srv-1", "server")
        await life.add("srv-2", "server")
        await life.start()

        def etags() -> list[str]:
            members = life.collector.fleet.directory.members
            return [life.collector.fleet.sender_of(members[name]).config_etag for name in ("srv-1", "srv-2")]

        before = etags()
        async with life.opened() as state, state.begin() as connection:
            await set_setting(
                connection,
                layer=Layer.DEVICE,
                subject="srv-1",
                key="probe.smart",
                value=False,
                actor=ACTOR,
                now=life.now,
            )
        await life.collector.upkeep["changes"].work()
        first, second = etags()
        assert first != before[0]
        assert second == before[1]
        async with life.opened() as state, counting_statements(state) as statements:
            etags()
        assert statements == []


def test_probes_are_known_by_their_names() -> None:
    assert known_probes()["smart"].is_isolated
    assert known_probes()["cpu"].interval_seconds == 60.0


async def test_a_probe_of_anothers_package_is_set_where_an_agent_has_it(database: Database) -> None:
    fleet = Fleet(database)
    await fleet.enrol()
    told: list[object] = ["cpu", "badge_reader", 7, "no name", None]
    async with database.begin() as connection:
        await keep_inventory(connection, fleet.ids["acme-hq"], {"hostname": "x", "probes": told}, NOW)
        await keep_inventory(connection, fleet.ids["acme-ny"], {"hostname": "y", "probes": {"badge_reader": 1}}, NOW)
        await keep_inventory(connection, fleet.ids["bakkerij-hq"], {"hostname": "z", "probes": "badge_reader"}, NOW)
    await fleet.tell(Layer.CUSTOMER, "acme", "interval.badge_reader", 300)
    await fleet.tell(Layer.SITE, "acme/hq", "probe.badge_reader", False)
    await fleet.tell(Layer.DEVICE, "acme-hq", "interval.badge_reader", 600)
    for layer, subject in ((Layer.SITE, "acme/ny"), (Layer.DEVICE, "acme-ny"), (Layer.CUSTOMER, "bakkerij")):
        with pytest.raises(FleetError, match=f"there is no probe 'badge_reader' at {layer} .*; there are backups"):
            await fleet.tell(layer, subject, "interval.badge_reader", 300)
    with pytest.raises(FleetError, match=r"there are backups.*badge_reader, "):
        await fleet.tell(Layer.CUSTOMER, "acme", "probe.badge_raeder", False)
    with pytest.raises(FleetError, match="a probe is named by letters"):
        await fleet.tell(Layer.CUSTOMER, "acme", "probe.no name", False)
    with pytest.raises(FleetError, match="60 to"):  # whether each reading costs a process is not known of it
        await fleet.tell(Layer.CUSTOMER, "acme", "interval.badge_reader", 5)
    async with database.connect() as connection:
        directory = await load_directory(connection)
        assert await probes_of_others(connection) == {"badge_reader": 1}
    config = configure(directory.members[fleet.ids["acme-hq"]], directory, 60.0).config
    assert config.probe_intervals_seconds == {"badge_reader": 600}
    assert config.probes_off == ["badge_reader"]
