"""Alertmanager's API, version 2: for rulers that post alerts, and for amtool."""
