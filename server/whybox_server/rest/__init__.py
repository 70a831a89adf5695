"""The REST transport: the same core as gRPC, for everything that speaks HTTP and JSON."""

from whybox_server.rest.app import create_app

__all__ = ["create_app"]
