"""What goes wrong, as pages that say what to do, in the language of the study."""

import logging
from collections.abc import Awaitable, Callable
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
from whybox_server.studies.protocol import Wording
from whybox_server.studies.protocol.wording import Problem, Problems

_log = logging.getLogger(__name__)

Handler = Callable[[Request, Exception], Awaitable[Response]]


class NoSessionError(Exception):
    """The browser has no session in the study."""


class ForeignFormError(Exception):
    """A form was not sent by a page of this session."""


# For each error its status and its text.
_PROBLEMS: dict[type[Exception], tuple[HTTPStatus, Callable[[Problems], Problem]]] = {
    StudyNotFoundError: (HTTPStatus.NOT_FOUND, lambda problems: problems.no_page),
    InvitationError: (HTTPStatus.FORBIDDEN, lambda problems: problems.invitation),
    NoSessionError: (HTTPStatus.FORBIDDEN, lambda problems: problems.no_session),
    AnnotatorNotFoundError: (HTTPStatus.FORBIDDEN, lambda problems: problems.left),
    ForeignFormError: (HTTPStatus.FORBIDDEN, lambda problems: problems.foreign_form),
    StudyClosedError: (HTTPStatus.GONE, lambda problems: problems.closed),
    StudyError: (HTTPStatus.INTERNAL_SERVER_ERROR, lambda problems: problems.fault),
    DatabaseError: (HTTPStatus.SERVICE_UNAVAILABLE, lambda problems: problems.busy),
    Exception: (HTTPStatus.INTERNAL_SERVER_ERROR, lambda problems: problems.unexpected),
}


def problem_handlers(
    renderer: Renderer, wording: Callable[[Request], Awaitable[Wording]]
) -> dict[type[Exception], Handler]:
    """For each kind of error, what answers it; Starlette looks for the nearest base class.

    Args:
        renderer: Makes the pages. They name neither title nor contact of a study, as strangers see them too.
        wording: The texts of the study that an address names; the English ones if there is none.
    """

    async def answer(request: Request, status: HTTPStatus, choose: Callable[[Problems], Problem]) -> Response:
        words = await wording(request)
        problem = choose(words.pages.problems)
        context = {"heading": problem.heading, "paragraphs": problem.paragraphs}
        return renderer.page(request, "message", words, context, status)

    async def of_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 (registered for it alone)
        status = HTTPStatus(error.status_code)
        no_page = status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
        response = await answer(request, status, lambda problems: problems.no_page if no_page else problems.bad_form)
        response.headers.update(error.headers or {})
        return response

    def known(status: HTTPStatus, choose: Callable[[Problems], Problem]) -> Handler:
        async def handle(request: Request, error: Exception) -> Response:
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                _log.error("%s: %s", request.url.path, error)
            return await answer(request, status, choose)

        return handle

    return {HTTPException: of_framework} | {kind: known(*problem) for kind, problem in _PROBLEMS.items()}
