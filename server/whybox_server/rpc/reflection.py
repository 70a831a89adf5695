"""Reflection: clients such as grpcurl ask the server for its services and messages, in either version."""

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from whybox_server.rpc import reflection_pb2 as v1

_SERVICE = "ServerReflection"
_METHOD = "ServerReflectionInfo"
V1 = v1.DESCRIPTOR.services_by_name[_SERVICE].full_name
V1_ALPHA = reflection.SERVICE_NAME


def add_reflection(services: tuple[str, ...], server: grpc.aio.Server) -> None:
    """Adds both versions of the reflection service to a server.

    Args:
        services: Full names of the services to tell of, beside reflection itself.
        server: Not started yet.
    """
    told = (*services, V1, V1_ALPHA)
    reflection.enable_server_reflection(told, server)
    # The messages of both versions are the same on the wire.
    handler = grpc.stream_stream_rpc_method_handler(
        reflection.aio.ReflectionServicer(told).ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, {_METHOD: handler}),))
