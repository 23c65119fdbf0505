"""The program on client machines: probes, spool, uplink."""

VERSION = "0.1.0"  # stands here because `run` must not load importlib.metadata; a test compares it with the package's
