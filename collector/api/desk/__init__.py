"""`/api/desk/v1`: alerts, tickets, silences, windows, thresholds, devices and customers for programs of one's own."""
