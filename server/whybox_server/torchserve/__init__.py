"""TorchServe behind the gateway: its configuration, its process, and the worker pools that it runs.

TorchServe is no longer maintained, so only the backend reaches it: HTTP only on Unix sockets in a private folder,
gRPC only on loopback and with a token, model management off.
"""
