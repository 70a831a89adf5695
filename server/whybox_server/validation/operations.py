"""What the transports know of operations: how one is asked for, and what begins it."""

from typing import Protocol

from google.longrunning.operations_proto_pb2 import Operation

from whybox import v1
from whybox.v1.errors import FailedPreconditionError
from whybox_server.access.checking import Caller
from whybox_server.validation.kinds import BOOLEAN
from whybox_server.validation.options import Option

ASYNC: Option[v1.Model] = Option(
    "async",
    BOOLEAN,
    "Whether the analysis is an operation: 202 answers at once, and Location names the operation. It has the server's "
    "own time, so it takes no `timeout`. Default: false.",
)


class Start(Protocol):
    """Begins an operation."""

    async def __call__(self, request: v1.AnalyzeRequest, *, request_id: str, caller: Caller) -> Operation:
        """The operation, which has been stored.

        Args:
            request: As it came; it is validated here.
            request_id: Id of the call.
            caller: Who calls; the operation is theirs.

        Raises:
            WhyboxError: The request is wrong, or the server cannot keep the operation.
        """


async def no_operations(request: v1.AnalyzeRequest, *, request_id: str, caller: Caller) -> Operation:
    """As `Start`, of a server without a database.

    Raises:
        FailedPreconditionError: In any case; it names the setting.
    """
    del request, request_id, caller
    raise FailedPreconditionError(
        "operations need a database; start the server with WHYBOX_DATABASE, such as sqlite:///whybox.db",
        reason="NO_DATABASE",
    )
