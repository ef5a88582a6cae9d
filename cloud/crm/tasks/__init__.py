"""What somebody should do for a member, and what became of it."""
