"""`whybox.v1.StudyService`."""

import grpc

from whybox import v1
from whybox.v1 import studies_pb2, studies_pb2_grpc
from whybox_server.rpc.calls import Calls, Context, Service
from whybox_server.studies.api.core import StudyApi

SERVICE = studies_pb2.DESCRIPTOR.services_by_name["StudyService"].full_name


class StudyService(studies_pb2_grpc.StudyServiceServicer):
    """Hands calls to the API."""

    def __init__(self, api: StudyApi, calls: Calls) -> None:
        self._api, self._calls = api, calls

    async def ListStudies(  # noqa: N802
        self,
        request: v1.ListStudiesRequest,  # noqa: ARG002 (it has no fields yet)
        context: Context,
    ) -> v1.ListStudiesResponse:
        """The studies."""
        async with self._calls.answering("ListStudies", "", context):
            return await self._api.list_studies()

    async def GetStudy(self, request: v1.GetStudyRequest, context: Context) -> v1.StudyStatus:  # noqa: N802
        """How far a study is."""
        async with self._calls.answering("GetStudy", "", context):
            return await self._api.get_study(request.study)

    async def GetStudyResults(  # noqa: N802
        self, request: v1.GetStudyResultsRequest, context: Context
    ) -> v1.StudyResults:
        """The results of a study."""
        async with self._calls.answering("GetStudyResults", "", context):
            return await self._api.get_results(request.study, self._calls.timeout(context))

    async def InviteAnnotators(  # noqa: N802
        self, request: v1.InviteAnnotatorsRequest, context: Context
    ) -> v1.InviteAnnotatorsResponse:
        """A link for each person."""
        async with self._calls.answering("InviteAnnotators", "", context):
            return await self._api.invite(request)


def service(api: StudyApi) -> Service:
    """The service, for the server."""

    def add(server: grpc.aio.Server, calls: Calls) -> None:
        studies_pb2_grpc.add_StudyServiceServicer_to_server(StudyService(api, calls), server)

    return Service(SERVICE, add)
