"""The two ways to a server."""
