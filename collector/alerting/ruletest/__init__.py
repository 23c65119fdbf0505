"""Unit tests of rules in promtool's format, run by the evaluator of production on series held in memory."""
