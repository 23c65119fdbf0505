"""The durable log of samples: append-only segments, each readable alone."""
