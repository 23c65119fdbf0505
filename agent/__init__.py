"""The program on client machines: probes, spool, uplink."""
