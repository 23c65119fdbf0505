"""Keeps the agent running: as a unit of systemd, a daemon of launchd, or a service of Windows."""
