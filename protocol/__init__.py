"""What agent and collector share: the wire format, its limits, and the root of all errors."""
