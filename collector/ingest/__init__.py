"""Senders' samples, from each protocol to one normal form, durable before they are acknowledged."""
