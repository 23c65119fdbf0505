"""What was agreed: service models. Pure, no I/O."""
