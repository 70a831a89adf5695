"""What keeps a server from running operations."""


class OperationsError(Exception):
    """The folder of operations cannot be used; the message says why and what to do."""
