"""Printers: devices without an agent, which an agent of their site reads."""
