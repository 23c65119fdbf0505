"""Figures for others: the Prometheus exposition."""
