"""Keys of callers, and what each may do."""
