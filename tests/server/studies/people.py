"""People who take part in a study."""

from datetime import timedelta

from whybox_server.studies.protocol import Answer
from whybox_server.studies.state import Annotator, Question
from whybox_server.studies.store import StudyStore


async def person(store: StudyStore, study_id: str = "dogs") -> Annotator:
    """A person who came by an invitation and agreed to take part."""
    (token,) = await store.invite(study_id, 1, timedelta(days=1))
    annotator = await store.enter(study_id, token)
    await store.consent(annotator.id)
    return await store.annotator(study_id, annotator.id)


async def people(store: StudyStore, number: int, study_id: str = "dogs") -> list[Annotator]:
    return [await person(store, study_id) for _ in range(number)]


async def answer_all(store: StudyStore, annotator: Annotator, answer: Answer = Answer.YES) -> list[Question]:
    """What the person was asked."""
    asked: list[Question] = []
    while isinstance(question := await store.question(annotator.id), Question):
        await store.answer(annotator.id, question.picture_id, answer, milliseconds=900, key=f"k{len(asked)}")
        asked.append(question)
    return asked
