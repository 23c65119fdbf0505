"""Customers with what was agreed with them, people, devices, and who may come in."""

from sqlalchemy import JSON, Boolean, Column, Date, Float, ForeignKey, Index, Integer, String, Table, Text, text

from collector.db.tables.base import Amount, Instant, Serial, metadata

customers = Table(
    "customers",
    metadata,
    Column("id", String(64), primary_key=True),  # a slug: acme
    Column("name", String(200), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("silent_days", Integer, nullable=False, server_default="15"),  # working days until it asks about a device
    Column("retire_automatically", Boolean, nullable=False, server_default=text("false")),
    # What inventories may hold beside counts.
    Column("user_names_allowed", Boolean, nullable=False, server_default=text("false")),
    Column("software_allowed", Boolean, nullable=False, server_default=text("false")),
)

# What was agreed with a customer, from when to when: one contract at a time. Contracts change; history stays.
contracts = Table(
    "contracts",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("plan", String(64), nullable=False),  # its service model
    Column("valid_from", Instant, nullable=False),
    Column("valid_to", Instant),  # null: until further notice
    Column("monitoring_consent_by", String(200)),  # break/fix: who agreed to be monitored
    Column("monitoring_consent_on", String(64)),  # and when, as it was given
    Column("number", String(64)),  # of the signed document
    Column("signed_on", Date),
    Column("term_months", Integer),  # null: until further notice
    # What differs from the service model; null: as the model says.
    Column("fee", Amount),  # a month
    Column("hourly_rate", Amount),
    Column("included_minutes", Integer),  # a month
    Column("currency", String(3)),
    Column("sla", String(64)),
    Column("support_level", String(64)),
    Column("scope", JSON),  # sites, kinds, tags, devices that it covers; null: all
    Column("charge", JSON),  # its model's prices as they were when it was made; null: as the file says now
    Index("ix_contracts_customer_valid_from", "customer", "valid_from"),
)

# People at customers: who reports, who is asked, who is written to.
contacts = Table(
    "contacts",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("customer", ForeignKey("customers.id"), nullable=False, index=True),
    Column("site", String(64)),  # null: of no site in particular
    Column("name", String(200), nullable=False),
    Column("email", String(254)),
    Column("phone", String(64)),
    Column("language", String(2), nullable=False, server_default="nl"),  # nl, en
    Column("is_main", Boolean, nullable=False, server_default=text("false")),  # is asked first
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),  # no longer to be written to; what names a person is erased then
)

sites = Table(
    "sites",
    metadata,
    Column("customer", ForeignKey("customers.id"), primary_key=True),
    Column("id", String(64), primary_key=True),  # a slug, unique within its customer: hq
    Column("name", String(200), nullable=False),
    Column("time_zone", String(64), nullable=False, server_default="Europe/Amsterdam"),
    Column("created_at", Instant, nullable=False),
    Column("office_hours", String(200), nullable=False, server_default="Mon-Fri 08:00-18:00"),
    Column("holidays", String(8), nullable=False, server_default="NL"),  # of which country; none
)

# When the devices of a kind are expected to be there, where a customer differs from the kind's default.
presence_policies = Table(
    "presence_policies",
    metadata,
    Column("customer", ForeignKey("customers.id"), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("policy", String(16), nullable=False),  # always, office_hours, roaming, none
)

# Who may sign in. What they may do is their role's; a customer's contact sees that customer alone.
users = Table(
    "users",
    metadata,
    Column("id", String(64), primary_key=True),  # the name to sign in with
    Column("name", String(200), nullable=False),
    Column("email", String(254)),
    Column("role", String(16), nullable=False),
    Column("customer", ForeignKey("customers.id")),
    Column("contact", ForeignKey("contacts.id")),
    Column("technician", ForeignKey("technicians.id")),
    Column("language", String(2), nullable=False, server_default="nl"),
    Column("password_hash", Text),  # argon2; null: cannot sign in with a password
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
)

# Enrolment tokens have a site, a kind and uses; access tokens have a role.
tokens = Table(
    "tokens",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("secret_hash", String(64), nullable=False, unique=True),  # SHA-256, hex
    Column("role", String(16), nullable=False),  # enroll, or an access role
    Column("customer", ForeignKey("customers.id")),
    Column("site", String(64)),
    Column("kind", String(16)),
    Column("user", ForeignKey("users.id")),  # whose it is, so that the audit names a person
    Column("uses_left", Integer),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)

devices = Table(
    "devices",
    metadata,
    Column("id", String(64), primary_key=True),  # ws-reception-7k3p
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("site", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("hostname", String(200), nullable=False),
    Column("serial", String(256)),
    Column("machine_id", String(128), nullable=False),
    Column("instance", String(128), nullable=False),
    Column("os", String(256), nullable=False),
    Column("arch", String(256), nullable=False),
    Column("agent_version", String(256), nullable=False),
    Column("secret_hash", String(64), unique=True),  # null: has no agent of its own (a printer)
    Column("enrolled_with", ForeignKey("tokens.id")),
    Column("enrolled_at", Instant, nullable=False),
    Column("possible_clone_of", String(64)),
    Column("read_by", String(64)),  # printers: the device whose agent reads it
    Column("address", String(200)),  # printers: where it is read
    Column("revoked_at", Instant),  # its secret is no longer taken: 401
    Column("ended_at", Instant),  # the device is no longer looked after: 410
    Column("last_seen_at", Instant),  # receive time, written now and then; the log knows better while serving
    Column("goodbye_at", Instant),
    Column("goodbye_reason", String(64)),
    Column("policy", String(16)),  # null: what holds for its customer and kind
    Column("presence", String(16)),  # as `serve` last judged it; null: not yet
    Column("presence_since", Instant),
    Column("presence_reason", Text),
    Column("presence_policy", String(16)),  # under which it was judged
    Column("on_battery_since", Instant),
    Column("agent_crashes", Integer, nullable=False, server_default="0"),  # as its agent told at its next start
    Column("machine_cuts", Integer, nullable=False, server_default="0"),  # boots without a goodbye before, likewise
    Column("inventory", JSON),
    Index("ix_devices_identity", "customer", "machine_id", "instance"),
)

device_events = Table(
    "device_events",
    metadata,
    Column("id", String(64), primary_key=True),  # the sender's UUID, with the device: a repeat is harmless
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("type", String(64), nullable=False),
    Column("data", JSON, nullable=False),
    Index("ix_device_events_device_at", "device", "at"),
)

# Devices that have been silent for so many working days that somebody asks about them. Gone when they report again.
silent_devices = Table(
    "silent_devices",
    metadata,
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("silent_since", Instant, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("reminders", Integer, nullable=False, server_default="0"),
    Column("told_at", Instant, nullable=False),  # the question, or the last reminder
    Column("ticket", ForeignKey("tickets.number")),  # null: only recorded
    Column("concluded_at", Instant),  # answered, or its retirement was proposed
)

# Words that people give devices, such as `accounting`, to name several at once.
device_tags = Table(
    "device_tags",
    metadata,
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("tag", String(64), primary_key=True),
)

# A threshold's value for one layer, from when to when. The defaults stand in thresholds.yaml.
thresholds = Table(
    "thresholds",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("layer", String(16), nullable=False),  # plan, customer, site, device
    Column("subject", String(200), nullable=False),  # acme, acme/hq, ws-reception-7k3p
    Column("value", Float, nullable=False),
    Column("valid_from", Instant, nullable=False),
    Column("valid_to", Instant),
    Column("set_by", String(200), nullable=False),
    Column("hours", Text),  # of the week, as WeekHours writes them; null: at all times
    Index("ix_thresholds_name_valid_from", "name", "valid_from"),
)

# What agents are told to do otherwise than by default, for one layer; a nearer layer wins. Changes are in the audit.
agent_settings = Table(
    "agent_settings",
    metadata,
    Column("layer", String(16), primary_key=True),  # customer, site, device
    Column("subject", String(200), primary_key=True),  # acme, acme/hq, ws-reception-7k3p
    Column("key", String(128), primary_key=True),  # as in collector.fleet.agent_settings
    Column("value", JSON, nullable=False),
    Column("set_by", String(200), nullable=False),
    Column("set_at", Instant, nullable=False),
)

# Inventories as they changed; the newest is in `devices` too.
inventories = Table(
    "inventories",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("device", ForeignKey("devices.id"), nullable=False),
    Column("at", Instant, nullable=False),  # when it was read
    Column("content", JSON, nullable=False),
    Index("ix_inventories_device_at", "device", "at"),
)

# How a device of kind printer is read; who reads it, and where, stands in `devices`.
printers = Table(
    "printers",
    metadata,
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("snmp", JSON),  # as protocol.models.SnmpConfig, passwords included; null: not asked by SNMP
    Column("ipp", JSON),  # as protocol.models.IppConfig
    Column("interval_seconds", Float, nullable=False, server_default="300"),
    Column("preferred_reader", String(64)),  # the device that a person named; null: any of the site
    Column("reader_since", Instant),
)

# Printers that agents came upon, for a technician to accept or dismiss.
found_printers = Table(
    "found_printers",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("customer", ForeignKey("customers.id"), nullable=False),
    Column("site", String(64), nullable=False),
    Column("found_by", ForeignKey("devices.id"), nullable=False),
    Column("address", String(200), nullable=False),
    Column("serial", String(256)),
    Column("model", String(256)),
    Column("ways", JSON, nullable=False),  # of reading it: snmp, ipp
    Column("first_found_at", Instant, nullable=False),
    Column("last_found_at", Instant, nullable=False),
    Column("device", ForeignKey("devices.id")),  # accepted as
    Column("dismissed_at", Instant),
    Index("ix_found_printers_customer_site", "customer", "site"),
)

# Who read a printer before, and until when: what they took then and send later is still taken.
former_readers = Table(
    "former_readers",
    metadata,
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("reader", String(64), primary_key=True),
    Column("until", Instant, nullable=False),
)

# What is used up in a printer, and how long it lasts, as `serve` last worked it out.
printer_supplies = Table(
    "printer_supplies",
    metadata,
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("index", String(128), primary_key=True),  # its place in the printer's table
    Column("type", String(128), nullable=False),
    Column("color", String(128), nullable=False),
    Column("description", String(128), nullable=False),
    Column("level_ratio", Float),
    Column("is_empty", Boolean, nullable=False, server_default=text("false")),
    Column("points", JSON, nullable=False),  # when its level made a step: Unix seconds, level, page counter
    Column("days_left", Float),
    Column("used_per_day", Float),  # share of a full one
    Column("pages_per_cartridge", Float),
    Column("seen_at", Instant),
    Column("changed_at", Instant),  # when it was last replaced or refilled
)

# What a printer did on a day, by its site's clock.
printer_days = Table(
    "printer_days",
    metadata,
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("counter", Float),  # its page counter at the end of the day; null: it tells none
    Column("counter_high", Float),  # the most that it ever said
    Column("counted_at", Instant),
    Column("pages", Integer, nullable=False),
    Column("used", JSON, nullable=False),  # by supply: share of a full one that was used; how often it was changed
    Index("ix_printer_days_day", "day"),
)
