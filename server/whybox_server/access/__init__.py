"""Who may call what: keys of callers, and the scopes that they have."""
