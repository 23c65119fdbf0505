"""Ways out: each sends one message of the outbox to where it belongs."""
