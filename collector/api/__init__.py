"""HTTP handlers, authentication and limits."""
