"""The application: the walk of a person through a study.

    /{study}/            in, by invitation or from a platform
    /{study}/consent     agree
    /{study}/instructions
    /{study}/question    asks, first for practice; /answer, /undo and /pause come back to it
    /{study}/practised/… what a practice answer should have been
    /{study}/finish      the completion code
    /{study}/withdraw    deletes all answers

Each form is answered by a redirection, so that loading a page again sends nothing again. The script asks for the next
page in the answer itself, which saves a walk over the network.
"""

import contextlib
import re
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

from whybox_server.database.errors import DatabaseError
from whybox_server.studies.errors import (
    AnnotatorNotFoundError,
    AnswerError,
    LeaseExpiredError,
    NoConsentError,
    StudyChangedError,
    StudyClosedError,
    StudyError,
    StudyNotFoundError,
    UnfinishedError,
)
from whybox_server.studies.pages.files import Files
from whybox_server.studies.pages.forms import field, milliseconds, read_form
from whybox_server.studies.pages.problems import ForeignFormError, NoSessionError, problem_handlers
from whybox_server.studies.pages.rendering import FOREVER, HEADERS, Renderer, Static, redirect
from whybox_server.studies.pages.sessions import Keyring, Session, is_own_page
from whybox_server.studies.protocol import Answer, File, Wording
from whybox_server.studies.state import Annotator, Question, Study, Wait
from whybox_server.studies.store import StudyStore

INVITATION = "invitation"
"""Parameter of the address that lets a person in."""

_LONGEST_KEY = 64
_LOOK_AGAIN_SECONDS = 15
_ENGLISH = Wording()
_STUDY = re.compile(r"[a-z0-9-]{1,80}")
_SWAP = "return=representation"
"""What the script prefers (RFC 7240): the next page itself, where a form is answered by a redirection otherwise."""


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
        Route("/{study}/pictures/{seal}/{digest}", pages.picture),
        *(Route(f"/{{study}}/{path}", pages.reading(page)) for path, page in reading.items()),
        *(Route(f"/{{study}}/{path}", pages.changing(do), methods=["POST"]) for path, do in changing.items()),
    ]
    app = Starlette(routes=routes, exception_handlers=problem_handlers(renderer, pages.wording))
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
        study = await self._study(request)
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
        study = await self._study(request)
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

    async def _study(self, request: Request) -> Study:
        """The study, read once: a page then needs one transaction, that of what it is about."""
        study_id = request.path_params["study"]
        # Not every database takes every character.
        if not _STUDY.fullmatch(study_id):
            raise StudyNotFoundError
        if study_id not in self._studies:
            self._studies[study_id] = await self._store.study(study_id)
        return self._studies[study_id]

    async def wording(self, request: Request) -> Wording:
        """The texts of the study that the address names; the English ones if there is none, or it cannot be read."""
        [study_id] = request.scope["path"].removeprefix(request.scope.get("root_path", "")).split("/")[1:2] or [""]
        study = self._studies.get(study_id)
        if study is None and _STUDY.fullmatch(study_id):
            with contextlib.suppress(StudyError, DatabaseError):
                study = await self._store.study(study_id, checked=False)
        return study.protocol.wording if study else _ENGLISH

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
        number = min(protocol.policy.pictures_per_annotator, len(protocol.pictures))
        practises = annotator.practised < len(protocol.practice)
        return self._page(visit, "instructions", choices=_choices(visit), number=number, practises=practises)

    # The questions.

    async def question(self, visit: _Visit, notice: str = "") -> Response:
        """Asks, or lets the person wait for what others are asked about at present."""
        question = await self._store.question(visit.session.annotator_id)
        if question is None:
            # With what the person is to be told.
            notice = notice or visit.request.query_params.get("notice", "")
            return redirect(f"{visit.base}/finish" + (f"?{urlencode({'notice': notice})}" if notice else ""))
        if isinstance(question, Wait):
            response = self._page(visit, "wait", notice, seconds=_LOOK_AGAIN_SECONDS)
            # Browsers obey it without scripts.
            response.headers["Refresh"] = str(_LOOK_AGAIN_SECONDS)
            return response
        return self._asked(visit, question, notice)

    def _asked(self, visit: _Visit, question: Question, notice: str) -> Response:
        item = question.item
        with_labels = visit.study.protocol.policy.show_example_labels
        return self._page(
            visit,
            "question",
            notice,
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
            raise HTTPException(HTTPStatus.BAD_REQUEST)
        if not (key := field(form, "key")) or len(key) > _LONGEST_KEY:
            raise HTTPException(HTTPStatus.BAD_REQUEST)
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
            return await self._go_on(visit, "late")
        except AnswerError:
            # From a second tab, or from a page that was kept open.
            return await self._go_on(visit, "answered")
        if accepted.kind == "practice":
            return redirect(f"{visit.base}/practised/{accepted.picture_id}/{accepted.answer}")
        return await self._go_on(visit)

    async def _go_on(self, visit: _Visit, notice: str = "") -> Response:
        """To the next question: in this answer for the script, else by a redirection."""
        if visit.request.headers.get("prefer") != _SWAP:
            return redirect(f"{visit.base}/question" + (f"?notice={notice}" if notice else ""))
        response = await self.question(visit, notice)
        response.headers["Content-Location"] = f"{visit.base}/question"
        response.headers["Preference-Applied"] = _SWAP
        return response

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
            return await self._go_on(visit)
        try:
            undone = await self._store.undo(visit.session.annotator_id)
        except LeaseExpiredError:
            return await self._go_on(visit, "taken")
        return await self._go_on(visit, "" if undone else "nothing")

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
        wording = (await self._study(request)).protocol.wording
        words = wording.pages.withdrawal
        context = {"heading": words.left, "paragraphs": (words.left_paragraph,)}
        return self._renderer.page(request, "message", wording, context)

    # What the pages show.

    async def picture(self, request: Request) -> Response:
        """A file of a question that the person was asked: only such a question holds its address.

        A question waits for up to seven of them, so the database is not asked again: the cookie names the person, and
        the seal says that the person was asked.
        """
        visit = await self._visit(request)
        seal, digest = request.path_params["seal"], request.path_params["digest"]
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

    def _page(self, visit: _Visit, template: str, notice: str = "", **context: object) -> Response:
        wording = visit.study.protocol.wording
        every, asking = wording.pages.every, wording.pages.asking
        notices = {
            "late": asking.late,
            "answered": asking.has_answer,
            "taken": asking.taken,
            "nothing": asking.nothing_to_undo,
        }
        common = {
            "study": wording.title,
            "contact": wording.contact,
            "trial": {"main": "", "pilot": every.pilot, "preview": every.preview}[visit.study.kind],
            "base": visit.base,
            "csrf": visit.keyring.form_token(visit.session),
            "notice": notices.get(notice or visit.request.query_params.get("notice", ""), ""),
        }
        return self._renderer.page(visit.request, template, wording, common | context)


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
    words, keys = _words(visit), visit.study.protocol.wording.keys
    offered = visit.study.protocol.policy.answers
    by_answer = {Answer.YES: keys.yes, Answer.NO: keys.no, Answer.MAYBE: keys.maybe}
    return [
        {"value": answer, "text": words[answer], "key": key.lower()}
        for answer, key in by_answer.items()
        if answer in offered
    ]


def _shown(visit: _Visit, file: File) -> dict[str, object]:
    seal = visit.keyring.seal(visit.session.annotator_id, file.sha256)
    return {
        "address": f"{visit.base}/pictures/{seal}/{file.sha256}",
        "width": file.width,
        "height": file.height,
    }
