"""What goes wrong, as pages that say what to do."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from whybox_server.database.errors import DatabaseError
from whybox_server.studies.errors import (
    AnnotatorNotFoundError,
    InvitationError,
    StudyClosedError,
    StudyError,
    StudyNotFoundError,
)
from whybox_server.studies.pages.rendering import Renderer

_log = logging.getLogger(__name__)

Handler = Callable[[Request, Exception], Awaitable[Response]]


class NoSessionError(Exception):
    """The browser has no session in the study."""


class ForeignFormError(Exception):
    """A form was not sent by a page of this session."""


@dataclass(frozen=True)
class _Problem:
    """How an error is told to a person, who did not cause it most of the time."""

    status: HTTPStatus
    heading: str
    paragraphs: tuple[str, ...]


_PROBLEMS: dict[type[Exception], _Problem] = {
    StudyNotFoundError: _Problem(
        HTTPStatus.NOT_FOUND, "There is no such study", ("Please check the link that you were given.",)
    ),
    InvitationError: _Problem(
        HTTPStatus.FORBIDDEN,
        "This invitation is not valid",
        (
            "It may have expired, or its link was not copied as a whole.",
            "Please ask the people who invited you for a new one.",
        ),
    ),
    NoSessionError: _Problem(
        HTTPStatus.FORBIDDEN,
        "Please come in by your invitation",
        (
            "This page is for people who were invited. Open the link that you were given.",
            "If you did, this browser keeps no cookies: allow them for this page, and open the link again.",
        ),
    ),
    AnnotatorNotFoundError: _Problem(
        HTTPStatus.FORBIDDEN,
        "You have left this study",
        ("Your answers were deleted. To take part again, ask for a new invitation.",),
    ),
    ForeignFormError: _Problem(
        HTTPStatus.FORBIDDEN,
        "This form is out of date",
        ("It was not sent by a page of your present visit, so nothing was changed. Open your invitation again.",),
    ),
    StudyClosedError: _Problem(
        HTTPStatus.GONE, "The study is closed", ("It takes no more answers. Thank you for your interest.",)
    ),
    StudyError: _Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The study has a fault",
        ("It is not your fault, and your answers are saved. Please tell the people who invited you.",),
    ),
    DatabaseError: _Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The study rests for a moment",
        ("Your answers are saved. Please load the page again in a minute.",),
    ),
    Exception: _Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Something went wrong",
        ("It is not your fault, and your answers are saved. Please load the page again.",),
    ),
}


def problem_handlers(renderer: Renderer) -> dict[type[Exception], Handler]:
    """For each kind of error, what answers it; Starlette looks for the nearest base class."""

    async def of_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 (registered for it alone)
        status = HTTPStatus(error.status_code)
        if status == HTTPStatus.NOT_FOUND:
            heading, paragraphs = "There is no such page", ("Please check the link that you were given.",)
        else:
            heading, paragraphs = "This cannot be done", (error.detail,)
        response = renderer.page(request, "message", {"heading": heading, "paragraphs": paragraphs}, status)
        response.headers.update(error.headers or {})
        return response

    def known(problem: _Problem) -> Handler:
        async def handle(request: Request, error: Exception) -> Response:
            if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                _log.error("%s: %s", request.url.path, error)
            context = {"heading": problem.heading, "paragraphs": problem.paragraphs}
            return renderer.page(request, "message", context, problem.status)

        return handle

    return {HTTPException: of_framework} | {kind: known(problem) for kind, problem in _PROBLEMS.items()}
