"""The application: the walk of a person through a study.

    /{study}/            in, by invitation or from a platform
    /{study}/consent     agree
    /{study}/instructions
    /{study}/question    asks, first for practice; /answer, /undo and /pause come back to it
    /{study}/practised/… what a practice answer should have been
    /{study}/finish      the completion code
    /{study}/withdraw    deletes all answers

Each form is answered by a redirection, so that loading a page again sends nothing again.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from whybox_server.studies.errors import (
    AnnotatorNotFoundError,
    AnswerError,
    LeaseExpiredError,
    NoConsentError,
    StudyChangedError,
    StudyClosedError,
    UnfinishedError,
)
from whybox_server.studies.pages.files import Files
from whybox_server.studies.pages.forms import field, milliseconds, read_form
from whybox_server.studies.pages.problems import ForeignFormError, NoSessionError, problem_handlers
from whybox_server.studies.pages.rendering import FOREVER, HEADERS, Renderer, Static, redirect
from whybox_server.studies.pages.sessions import Keyring, Session, is_own_page
from whybox_server.studies.protocol import Answer, File
from whybox_server.studies.state import Annotator, Question, Study, Wait
from whybox_server.studies.store import StudyStore

INVITATION = "invitation"
"""Parameter of the address that lets a person in."""

_LONGEST_KEY = 64
_LOOK_AGAIN_SECONDS = 15
_KEYS = {Answer.YES: "y", Answer.NO: "n", Answer.MAYBE: "m"}

_NOTICES = {
    "late": "Your answer came late, and others have judged that picture in the meantime. Here is another one.",
    "answered": "That question has its answer already. Here is the next one.",
    "taken": "That answer cannot be taken back any more: another person was asked about the picture instead.",
    "nothing": "There is no answer that can be taken back: only the last one can.",
}


@dataclass(frozen=True)
class _Visit:
    """A request of a person who is in the study. It holds what never changes; the store tells the rest."""

    request: Request
    study: Study
    session: Session
    keyring: Keyring
    base: str


_Page = Callable[[_Visit], Awaitable[Response]]
_Action = Callable[[_Visit, Mapping[str, str]], Awaitable[Response]]


def create_pages(store: StudyStore) -> Starlette:
    """The application, to be mounted under a prefix such as "/studies".

    Args:
        store: Where studies are, and where answers go.
    """
    static = Static()
    renderer = Renderer(static)
    pages = _Pages(store, renderer)
    reading: dict[str, _Page] = {
        "consent": pages.consent,
        "decline": pages.decline,
        "instructions": pages.instructions,
        "question": pages.question,
        "practised/{picture}/{answer}": pages.practised,
        "paused": pages.paused,
        "finish": pages.finish,
        "withdraw": pages.withdraw,
        "pictures/{seal}/{digest}": pages.picture,
    }
    changing: dict[str, _Action] = {
        "consent": pages.agree,
        "answer": pages.answer,
        "undo": pages.undo,
        "pause": pages.pause,
        "withdraw": pages.leave,
    }
    routes: list[BaseRoute] = [
        Route("/_static/{name}", static.serve),
        Route("/{study}", pages.enter),
        Route("/{study}/", pages.enter),
        Route("/{study}/left", pages.left),
        *(Route(f"/{{study}}/{path}", pages.reading(page)) for path, page in reading.items()),
        *(Route(f"/{{study}}/{path}", pages.changing(do), methods=["POST"]) for path, do in changing.items()),
    ]
    app = Starlette(routes=routes, exception_handlers=problem_handlers(renderer))
    app.router.redirect_slashes = False
    return app


class _Pages:
    """What each page reads, shows and changes."""

    def __init__(self, store: StudyStore, renderer: Renderer) -> None:
        self._store, self._renderer = store, renderer
        self._files = Files()
        self._studies: dict[str, Study] = {}
        self._keyrings: dict[str, Keyring] = {}

    # In, and who it is.

    async def enter(self, request: Request) -> Response:
        """Lets a person in; then the address holds neither token nor id any more."""
        study = await self._store.study(request.path_params["study"])
        parameter, query = study.protocol.platform.parameter, request.query_params
        if INVITATION in query:
            annotator = await self._store.enter(study.id, query[INVITATION])
        elif parameter and parameter in query:
            annotator = await self._store.enter_external(study.id, query[parameter])
        else:
            visit = await self._visit(request)
            return redirect(f"{visit.base}/{_next_page(visit.study, await self._annotator(visit))}")
        keyring = await self._keyring(study)
        response = redirect(f"{_base(request, study)}/")
        session = keyring.session(request)
        # Forms that are open in this browser stay valid.
        if session is None or session.annotator_id != annotator.id:
            keyring.begin(request, response, annotator.id)
        return response

    def reading(self, page: _Page) -> Callable[[Request], Awaitable[Response]]:
        """A page that only shows."""

        async def endpoint(request: Request) -> Response:
            visit = await self._visit(request)
            return await self._in_order(visit, page(visit))

        return endpoint

    def changing(self, action: _Action) -> Callable[[Request], Awaitable[Response]]:
        """What a form of the person's own page does."""

        async def endpoint(request: Request) -> Response:
            form = await read_form(request)
            visit = await self._visit(request)
            if not (is_own_page(request) and visit.keyring.is_form_token(visit.session, form.get("csrf", ""))):
                raise ForeignFormError
            return await self._in_order(visit, action(visit, form))

        return endpoint

    async def _visit(self, request: Request) -> _Visit:
        name = request.path_params["study"]
        # Read once: a page then needs one transaction, that of what it is about.
        study = self._studies.get(name) or await self._store.study(name)
        self._studies[name] = study
        keyring = await self._keyring(study)
        session = keyring.session(request)
        if session is None:
            raise NoSessionError
        return _Visit(request, study, session, keyring, _base(request, study))

    async def _annotator(self, visit: _Visit) -> Annotator:
        """The person as the store has it now."""
        annotator = await self._store.annotator(visit.study.id, visit.session.annotator_id)
        if annotator.state == "withdrawn":
            raise AnnotatorNotFoundError
        return annotator

    async def _in_order(self, visit: _Visit, response: Awaitable[Response]) -> Response:
        """Sends a person who is on the wrong page to the right one."""
        try:
            return await response
        except NoConsentError:
            return redirect(f"{visit.base}/consent")
        except StudyClosedError:
            if not (await self._annotator(visit)).consented:
                raise
            return redirect(f"{visit.base}/finish")

    async def _keyring(self, study: Study) -> Keyring:
        if study.id not in self._keyrings:
            self._keyrings[study.id] = Keyring(study.id, await self._store.page_key(study.id))
        return self._keyrings[study.id]

    # Before the questions.

    async def consent(self, visit: _Visit) -> Response:
        """What the person agrees to."""
        annotator = await self._annotator(visit)
        if annotator.consented:
            return redirect(f"{visit.base}/{_next_page(visit.study, annotator)}")
        return self._page(visit, "consent")

    async def agree(self, visit: _Visit, _: Mapping[str, str]) -> Response:
        """The person agrees."""
        await self._store.consent(visit.session.annotator_id)
        return redirect(f"{visit.base}/instructions")

    async def decline(self, visit: _Visit) -> Response:
        """The person does not agree; nothing is stored."""
        return self._page(visit, "declined")

    async def instructions(self, visit: _Visit) -> Response:
        """What to do."""
        annotator = await self._annotator(visit)
        if not annotator.consented:
            raise NoConsentError
        protocol = visit.study.protocol
        left = len(protocol.practice) - annotator.practised
        number = min(protocol.policy.pictures_per_annotator, len(protocol.pictures))
        start = "Start" if left <= 0 else "Practise with one picture" if left == 1 else f"Practise with {left} pictures"
        return self._page(visit, "instructions", choices=_choices(visit), number=number, start=start)

    # The questions.

    async def question(self, visit: _Visit) -> Response:
        """Asks, or lets the person wait for what others are asked about at present."""
        question = await self._store.question(visit.session.annotator_id)
        if question is None:
            # With what the person is to be told.
            query = visit.request.url.query
            return redirect(f"{visit.base}/finish" + (f"?{query}" if query else ""))
        if isinstance(question, Wait):
            response = self._page(visit, "wait", seconds=_LOOK_AGAIN_SECONDS)
            # Browsers obey it without scripts.
            response.headers["Refresh"] = str(_LOOK_AGAIN_SECONDS)
            return response
        return self._asked(visit, question)

    def _asked(self, visit: _Visit, question: Question) -> Response:
        item = question.item
        with_labels = visit.study.protocol.policy.show_example_labels
        return self._page(
            visit,
            "question",
            practice=question.kind == "practice",
            position=question.position,
            total=question.total,
            label=item.label.text,
            picture_id=question.picture_id,
            picture=_shown(visit, item.picture),
            map=_shown(visit, item.explanation) if item.explanation else None,
            examples=[
                {"picture": _shown(visit, each.file), "label": each.label.text if with_labels else ""}
                for each in item.examples
            ],
            choices=_choices(visit),
            key=secrets.token_urlsafe(16),
        )

    async def answer(self, visit: _Visit, form: Mapping[str, str]) -> Response:
        """Stores an answer and goes on."""
        given = field(form, "answer")
        if given not in (*visit.study.protocol.policy.answers, Answer.CANNOT_JUDGE):
            raise HTTPException(HTTPStatus.BAD_REQUEST, "The answer is not one of those offered.")
        if not (key := field(form, "key")) or len(key) > _LONGEST_KEY:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "The form has no usable key.")
        try:
            accepted = await self._store.answer(
                visit.session.annotator_id,
                field(form, "picture"),
                Answer(given),
                milliseconds=milliseconds(form),
                key=key,
                goes_on=True,
            )
        except LeaseExpiredError:
            return redirect(f"{visit.base}/question?notice=late")
        except AnswerError:
            # From a second tab, or from a page that was kept open.
            return redirect(f"{visit.base}/question?notice=answered")
        if accepted.kind == "practice":
            return redirect(f"{visit.base}/practised/{accepted.picture_id}/{accepted.answer}")
        return redirect(f"{visit.base}/question")

    async def practised(self, visit: _Visit) -> Response:
        """What a practice answer should have been. The address tells all, so the page can be loaded again."""
        annotator = await self._annotator(visit)
        protocol, path = visit.study.protocol, visit.request.path_params
        known = next((known for known in protocol.practice if known.id == path["picture"]), None)
        words = _words(visit)
        if known is None or path["answer"] not in words:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return self._page(
            visit,
            "feedback",
            right=path["answer"] == known.right,
            picture=_shown(visit, known.item.picture),
            label=known.item.label.text,
            answered=words[Answer(path["answer"])],
            expected=words[known.right],
            why=known.why,
            more=annotator.practised < len(protocol.practice),
        )

    async def undo(self, visit: _Visit, form: Mapping[str, str]) -> Response:
        """Asks the last question again."""
        present = await self._store.question(visit.session.annotator_id)
        # A form that was sent twice takes back one answer.
        if (present.picture_id if isinstance(present, Question) else "") != field(form, "picture"):
            return redirect(f"{visit.base}/question")
        try:
            undone = await self._store.undo(visit.session.annotator_id)
        except LeaseExpiredError:
            return redirect(f"{visit.base}/question?notice=taken")
        return redirect(f"{visit.base}/question" + ("" if undone else "?notice=nothing"))

    # Out.

    async def pause(self, visit: _Visit, _: Mapping[str, str]) -> Response:
        """Gives back what was asked, and shows how to go on."""
        await self._store.pause(visit.session.annotator_id)
        return redirect(f"{visit.base}/paused")

    async def paused(self, visit: _Visit) -> Response:
        """The link for another device."""
        token = await self._store.resume_token(await self._annotator(visit))
        link = visit.request.url.replace(path=f"{visit.base}/", query=urlencode({INVITATION: token}))
        return self._page(visit, "paused", link=str(link))

    async def finish(self, visit: _Visit) -> Response:
        """The completion code, and the way back to the platform."""
        try:
            code = await self._store.finish(visit.session.annotator_id)
        except UnfinishedError:
            return redirect(f"{visit.base}/question")
        study, annotator = await self._store.study(visit.study.id), await self._annotator(visit)
        address = study.protocol.platform.return_address if annotator.external else ""
        return self._page(
            visit,
            "finish",
            code=code,
            closed=study.state == "closed",
            return_address=address.replace("{code}", quote(code, safe="")),
        )

    async def withdraw(self, visit: _Visit) -> Response:
        """Asks whether the person means it."""
        return self._page(visit, "withdraw", external=(await self._annotator(visit)).external)

    async def leave(self, visit: _Visit, _: Mapping[str, str]) -> Response:
        """Deletes the person's data and ends the session."""
        await self._store.withdraw(visit.session.annotator_id)
        response = redirect(f"{visit.base}/left")
        visit.keyring.end(visit.request, response)
        return response

    async def left(self, request: Request) -> Response:
        """After a withdrawal."""
        study = await self._store.study(request.path_params["study"])
        context = {
            "wording": study.protocol.wording,
            "heading": "Your answers are deleted",
            "paragraphs": ("Nothing that you answered is kept. You can close this page.",),
        }
        return self._renderer.page(request, "message", context)

    # What the pages show.

    async def picture(self, visit: _Visit) -> Response:
        """A file of a question that the person was asked: only such a question holds its address."""
        seal, digest = visit.request.path_params["seal"], visit.request.path_params["digest"]
        if not visit.keyring.is_seal(visit.session.annotator_id, digest, seal):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        try:
            found = await self._files.read(visit.study, digest)
        except StudyChangedError:
            # The study may have been opened again in another folder since it was read.
            study = self._studies[visit.study.id] = await self._store.study(visit.study.id)
            found = await self._files.read(study, digest)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        content, media_type = found
        return Response(content, media_type=media_type, headers={**HEADERS, "Cache-Control": FOREVER})

    def _page(self, visit: _Visit, template: str, **context: object) -> Response:
        common = {
            "wording": visit.study.protocol.wording,
            "trial": "" if visit.study.kind == "main" else visit.study.kind,
            "notice": _NOTICES.get(visit.request.query_params.get("notice", ""), ""),
            "base": visit.base,
            "csrf": visit.keyring.form_token(visit.session),
        }
        return self._renderer.page(visit.request, template, common | context)


def _base(request: Request, study: Study) -> str:
    return f"{request.scope.get('root_path', '')}/{study.id}"


def _next_page(study: Study, annotator: Annotator) -> str:
    if not annotator.consented:
        return "consent"
    if annotator.state == "finished":
        return "finish"
    return "instructions" if annotator.practised == 0 and study.protocol.practice else "question"


def _words(visit: _Visit) -> dict[Answer, str]:
    wording = visit.study.protocol.wording
    return {
        Answer.YES: wording.yes,
        Answer.NO: wording.no,
        Answer.MAYBE: wording.maybe,
        Answer.CANNOT_JUDGE: wording.cannot_judge,
    }


def _choices(visit: _Visit) -> list[dict[str, str]]:
    words = _words(visit)
    offered = visit.study.protocol.policy.answers
    return [{"value": answer, "text": words[answer], "key": key} for answer, key in _KEYS.items() if answer in offered]


def _shown(visit: _Visit, file: File) -> dict[str, object]:
    seal = visit.keyring.seal(visit.session.annotator_id, file.sha256)
    return {
        "address": f"{visit.base}/pictures/{seal}/{file.sha256}",
        "width": file.width,
        "height": file.height,
    }
