"""TorchServe behind the gateway: its configuration, its process, and the worker pools that it runs.

TorchServe is no longer maintained, so nobody but the backend reaches it: HTTP only on Unix sockets in a folder of ours,
gRPC only on loopback and with a token, model management off.
"""
