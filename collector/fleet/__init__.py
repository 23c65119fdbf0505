"""Customers, sites, tokens, devices, enrolment and presence."""
