"""`google.longrunning.Operations`."""

import grpc
from google.longrunning import operations_pb2_grpc
from google.longrunning import operations_proto_pb2 as pb
from google.protobuf.empty_pb2 import Empty

from whybox.v1.errors import InvalidRequestError
from whybox_server.operations.core import Operations
from whybox_server.rpc.access import caller_of
from whybox_server.rpc.calls import Calls, Context, Service, max_message_bytes

SERVICE = pb.DESCRIPTOR.services_by_name["Operations"].full_name


class OperationsService(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc]  # its package has no types
    """Hands calls to the operations."""

    def __init__(self, operations: Operations, calls: Calls) -> None:
        self._operations, self._calls = operations, calls

    async def ListOperations(  # noqa: N802
        self, request: pb.ListOperationsRequest, context: Context
    ) -> pb.ListOperationsResponse:
        """The caller's operations, without their results."""
        async with self._calls.answering("ListOperations", "", context):
            if request.filter:
                raise InvalidRequestError("this server lists all operations; leave filter out", field="filter")
            return await self._operations.listed(caller_of(context), request.page_size, request.page_token)

    async def GetOperation(self, request: pb.GetOperationRequest, context: Context) -> pb.Operation:  # noqa: N802
        """How far an operation is, with its result."""
        async with self._calls.answering("GetOperation", "", context):
            return await self._operations.get(request.name, caller_of(context), max_message_bytes(context))

    async def WaitOperation(self, request: pb.WaitOperationRequest, context: Context) -> pb.Operation:  # noqa: N802
        """As `GetOperation`, once the operation has ended or the caller's time has."""
        async with self._calls.answering("WaitOperation", "", context):
            seconds = self._calls.timeout(context)
            if request.HasField("timeout"):
                seconds = min(seconds, request.timeout.ToMilliseconds() / 1000)
            return await self._operations.wait(request.name, caller_of(context), seconds, max_message_bytes(context))

    async def CancelOperation(self, request: pb.CancelOperationRequest, context: Context) -> Empty:  # noqa: N802
        """Ends an operation."""
        async with self._calls.answering("CancelOperation", "", context):
            await self._operations.cancel(request.name, caller_of(context))
            return Empty()

    async def DeleteOperation(self, request: pb.DeleteOperationRequest, context: Context) -> Empty:  # noqa: N802
        """Ends an operation, and forgets it with its result."""
        async with self._calls.answering("DeleteOperation", "", context):
            await self._operations.delete(request.name, caller_of(context))
            return Empty()


def service(operations: Operations) -> Service:
    """The service, for the server."""

    def add(server: grpc.aio.Server, calls: Calls) -> None:
        operations_pb2_grpc.add_OperationsServicer_to_server(OperationsService(operations, calls), server)

    return Service(SERVICE, add)
