"""Prediction by the Open Inference Protocol (KServe's and Triton's "v2"), over REST and gRPC."""

from whybox_server.oip.openapi import described
from whybox_server.oip.rest import routes
from whybox_server.oip.rpc import service

__all__ = ["described", "routes", "service"]
