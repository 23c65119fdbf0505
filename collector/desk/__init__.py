"""Who does what: tickets and shadow tickets."""
