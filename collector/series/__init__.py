"""Label sets, the columnar head, and the durable log behind it."""
