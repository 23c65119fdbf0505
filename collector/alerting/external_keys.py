"""How the alerts of an external ruler are told from our own, for those who read the database and load no rules."""

KEY_PREFIX = "external:"
