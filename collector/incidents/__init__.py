"""What matters: what the contract makes of an alert, and the reasons."""
