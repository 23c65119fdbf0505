"""Printers, read by SNMP and IPP for the machines that cannot have an agent."""
