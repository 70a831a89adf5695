"""What each route, method and part needs of a caller: the one table. What is missing in it is refused."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from whybox.v1.errors import PermissionDeniedError
from whybox_server.access.keys import Scope


class Door(StrEnum):
    """What is needed where no scope is."""

    OPEN = "open"
    """Nothing: load balancers have no key, and people of a study have its signed invitations."""
    ANY_KEY = "any key"
    """A key with any scope."""


Need = Scope | Door

_MODEL = "/v1/models/{model}"
_OPERATION = "/v1/operations/{operation}"
_STUDY = "/v1/studies/{study}"
_OIP_MODEL = "/v2/models/{model}"

ROUTES: Mapping[str, Need] = {
    "/healthz": Door.OPEN,
    "/readyz": Door.OPEN,
    "/studies/{path}": Door.OPEN,
    "/docs": Door.ANY_KEY,
    "/docs/start.js": Door.ANY_KEY,
    "/docs/assets/{path}": Door.ANY_KEY,
    "/openapi.json": Door.ANY_KEY,
    "/metrics": Scope.METRICS,
    "/v1/models": Scope.PREDICT,
    _MODEL: Scope.PREDICT,
    f"{_MODEL}/audits": Scope.PREDICT,
    f"{_MODEL}/audits/{{audit}}": Scope.PREDICT,
    f"{_MODEL}:predict": Scope.PREDICT,
    f"{_MODEL}:bias": Scope.PREDICT,
    f"{_MODEL}:explain": Scope.ANALYZE,
    f"{_MODEL}:robustness": Scope.ANALYZE,
    f"{_MODEL}:certify": Scope.ANALYZE,
    # Its parts may need more; see `PARTS`.
    f"{_MODEL}:analyze": Scope.PREDICT,
    "/v1/operations": Scope.ANALYZE,
    _OPERATION: Scope.ANALYZE,
    f"{_OPERATION}:wait": Scope.ANALYZE,
    f"{_OPERATION}:cancel": Scope.ANALYZE,
    "/v2": Scope.PREDICT,
    "/v2/health/live": Door.OPEN,
    "/v2/health/ready": Door.OPEN,
    _OIP_MODEL: Scope.PREDICT,
    # It tells which models there are, unlike the readiness of the server.
    f"{_OIP_MODEL}/ready": Scope.PREDICT,
    f"{_OIP_MODEL}/infer": Scope.PREDICT,
    f"{_OIP_MODEL}/versions/{{version}}": Scope.PREDICT,
    f"{_OIP_MODEL}/versions/{{version}}/ready": Scope.PREDICT,
    f"{_OIP_MODEL}/versions/{{version}}/infer": Scope.PREDICT,
    "/v1/studies": Scope.STUDIES_READ,
    _STUDY: Scope.STUDIES_READ,
    f"{_STUDY}/results": Scope.STUDIES_READ,
    f"{_STUDY}/invitations": Scope.STUDIES_INVITE,
}
"""By the template of a route of REST."""

_ANALYSIS_SERVICE = "/whybox.v1.AnalysisService"
_OPERATION_SERVICE = "/google.longrunning.Operations"
_STUDY_SERVICE = "/whybox.v1.StudyService"
_OIP_SERVICE = "/inference.GRPCInferenceService"

START_ANALYSIS = f"{_ANALYSIS_SERVICE}/StartAnalysis"

METHODS: Mapping[str, Need] = {
    # Their parts may need more; see `PARTS`.
    f"{_ANALYSIS_SERVICE}/Analyze": Scope.PREDICT,
    f"{_ANALYSIS_SERVICE}/StreamAnalysis": Scope.PREDICT,
    START_ANALYSIS: Scope.ANALYZE,
    f"{_ANALYSIS_SERVICE}/ListModels": Scope.PREDICT,
    f"{_ANALYSIS_SERVICE}/GetModel": Scope.PREDICT,
    f"{_ANALYSIS_SERVICE}/ListAudits": Scope.PREDICT,
    f"{_ANALYSIS_SERVICE}/GetAudit": Scope.PREDICT,
    f"{_OPERATION_SERVICE}/ListOperations": Scope.ANALYZE,
    f"{_OPERATION_SERVICE}/GetOperation": Scope.ANALYZE,
    f"{_OPERATION_SERVICE}/WaitOperation": Scope.ANALYZE,
    f"{_OPERATION_SERVICE}/CancelOperation": Scope.ANALYZE,
    f"{_OPERATION_SERVICE}/DeleteOperation": Scope.ANALYZE,
    f"{_STUDY_SERVICE}/ListStudies": Scope.STUDIES_READ,
    f"{_STUDY_SERVICE}/GetStudy": Scope.STUDIES_READ,
    f"{_STUDY_SERVICE}/GetStudyResults": Scope.STUDIES_READ,
    f"{_STUDY_SERVICE}/InviteAnnotators": Scope.STUDIES_INVITE,
    f"{_OIP_SERVICE}/ServerLive": Door.OPEN,
    f"{_OIP_SERVICE}/ServerReady": Door.OPEN,
    f"{_OIP_SERVICE}/ServerMetadata": Scope.PREDICT,
    f"{_OIP_SERVICE}/ModelReady": Scope.PREDICT,
    f"{_OIP_SERVICE}/ModelMetadata": Scope.PREDICT,
    f"{_OIP_SERVICE}/ModelInfer": Scope.PREDICT,
    "/grpc.health.v1.Health/Check": Door.OPEN,
    "/grpc.health.v1.Health/Watch": Door.OPEN,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": Door.ANY_KEY,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Door.ANY_KEY,
}
"""By the full name of a method of gRPC."""

PARTS: Mapping[str, Scope] = {
    "prediction": Scope.PREDICT,
    "bias": Scope.PREDICT,
    "explanations": Scope.ANALYZE,
    "robustness": Scope.ANALYZE,
    "certified": Scope.ANALYZE,
}
"""By the field of a request for an analysis; `predict` is enough for what the prediction workers make."""


def of_route(template: str) -> Need:
    """What a route of REST needs.

    Raises:
        PermissionDeniedError: It is not in the table.
    """
    return _listed(ROUTES.get(template), template)


def of_method(name: str) -> Need:
    """What a method of gRPC, "/package.Service/Method", needs.

    Raises:
        PermissionDeniedError: It is not in the table.
    """
    return _listed(METHODS.get(name), name)


def of_parts(parts: Iterable[str]) -> Need:
    """What a request for some parts of an answer needs.

    Raises:
        PermissionDeniedError: One of them is not in the table.
    """
    needs = {_listed(PARTS.get(part), part) for part in parts}
    return Scope.ANALYZE if Scope.ANALYZE in needs else Scope.PREDICT


def _listed(need: Need | None, name: str) -> Need:
    if need is None:
        raise PermissionDeniedError(f"{name} takes no key: the server does not know the scope that it needs")
    return need
