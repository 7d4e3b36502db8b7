"""Which rules a message is for: all texts at once, then the few that are left exactly; and conditions."""
