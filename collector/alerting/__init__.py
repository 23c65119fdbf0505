"""What is true: rule files, templates, thresholds, the evaluation loop and the alert state machine."""
