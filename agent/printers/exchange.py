"""What the agent and its reader of printers agree on: a line of JSON on the reader's stdin for each configuration,
`{"printers": [PrinterConfig, …]}`, and one on its stdout for each reading:

    {"device_id", "layout": {"id", "series"}, or its id alone if it is the one that was told last,
     "v": [number|null], "interval_seconds", "events": [{"type", …}]}
"""

MAX_LINE_BYTES = 1 << 20
READER = "agent.printers.reader"
TABLES_INTERVAL_SECONDS = 3600.0  # supplies, trays and the like: they sink in days
IDENTITY_INTERVAL_SECONDS = 86_400.0
