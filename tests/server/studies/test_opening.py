"""Studies open once, with the files that their protocol names."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from server.studies.conftest import Open
from server.studies.people import person
from studying import UtcClock, protocol, write
from whybox_server.studies.errors import StudyChangedError, StudyClosedError, StudyError, StudyNotFoundError
from whybox_server.studies.protocol import Answer, Protocol
from whybox_server.studies.state import Question
from whybox_server.studies.store import StudyStore


async def test_an_open_study_is_told_as_it_opened(
    store: StudyStore, opened: Open, clock: UtcClock, tmp_path: Path
) -> None:
    asked = protocol(seed=7, practice=1, gold=1)
    study = await opened(asked)
    assert (study.id, study.kind, study.state, study.close_reason) == ("dogs", "main", "open", "")
    assert (study.protocol, study.digest, study.folder) == (asked, asked.digest, tmp_path / "dogs")
    assert (study.opened_at, study.closed_at) == (clock.now, None)
    assert await store.study("dogs") == study
    assert await store.studies() == [study]


async def test_opening_again_keeps_what_there_is(store: StudyStore, opened: Open, tmp_path: Path) -> None:
    study = await opened(protocol())
    annotator = await person(store)
    moved = write(protocol(), tmp_path / "elsewhere")
    assert (await store.open(protocol(), moved)).folder == moved
    assert (await store.annotator("dogs", annotator.id)) == annotator
    assert (await store.study("dogs")).digest == study.digest


async def test_several_may_open_at_once(engine: AsyncEngine, clock: UtcClock, tmp_path: Path) -> None:
    folder = write(protocol(), tmp_path / "dogs")
    studies = await asyncio.gather(*(StudyStore(engine, clock).open(protocol(), folder) for _ in range(4)))
    assert all(study == studies[0] for study in studies)
    assert (await StudyStore(engine).status("dogs")).cells["none/clean/model"].needed == 20


async def test_another_protocol_of_the_name_is_refused(store: StudyStore, opened: Open, tmp_path: Path) -> None:
    await opened(protocol())
    other = protocol(seed=1)
    with pytest.raises(StudyChangedError, match="create a study of another name"):
        await store.open(other, write(other, tmp_path / "other"))
    assert (await store.study("dogs")).digest == protocol().digest


async def test_pilot_and_preview_are_studies_of_their_own(store: StudyStore, opened: Open, tmp_path: Path) -> None:
    await opened(protocol())
    folder = tmp_path / "dogs"
    pilot, preview = await store.open(protocol(), folder, "pilot"), await store.open(protocol(), folder, "preview")
    assert (pilot.id, pilot.kind, preview.id, preview.kind) == ("dogs-pilot", "pilot", "dogs-preview", "preview")
    annotator = await person(store, "dogs-pilot")
    question = await store.question(annotator.id)
    assert isinstance(question, Question)
    await store.answer(annotator.id, question.picture_id, Answer.YES, milliseconds=1, key="k")
    assert [(await store.status(name)).answers for name in ("dogs", "dogs-pilot", "dogs-preview")] == [0, 1, 0]
    assert [len((await store.votes(name)).items) for name in ("dogs", "dogs-pilot", "dogs-preview")] == [0, 1, 0]


async def test_a_main_study_never_takes_the_name_of_a_pilot(store: StudyStore, tmp_path: Path) -> None:
    await store.open(protocol(), write(protocol(), tmp_path / "dogs"), "pilot")
    named = protocol(name="dogs-pilot")
    with pytest.raises(StudyChangedError, match=r"opened as pilot .* and this is main"):
        await store.open(named, write(named, tmp_path / "named"))


def _other_protocol(folder: Path) -> None:
    (folder / "protocol.json").write_text(protocol(seed=1).model_dump_json())


def _no_protocol(folder: Path) -> None:
    (folder / "protocol.json").write_text("{}")


def _missing_protocol(folder: Path) -> None:
    (folder / "protocol.json").unlink()


def _other_picture(folder: Path) -> None:
    (folder / "pictures" / "p0").write_bytes(b"other")


def _missing_picture(folder: Path) -> None:
    (folder / "pictures" / "p0").unlink()


def _link_out_of_the_folder(folder: Path) -> None:
    outside = folder.parent / "p0"
    (folder / "pictures" / "p0").rename(outside)
    (folder / "pictures" / "p0").symlink_to(outside)


CHANGES = [
    (_other_protocol, "has the digest .* and the study opened with"),
    (_no_protocol, "is no protocol any more"),
    (_missing_protocol, "protocol.json cannot be read"),
    (_other_picture, "p0 differs"),
    (_missing_picture, "p0 cannot be read"),
    (_link_out_of_the_folder, "leads out of"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
async def test_a_changed_folder_does_not_open(store: StudyStore, tmp_path: Path, change: object, message: str) -> None:
    folder = write(protocol(), tmp_path / "dogs")
    change(folder)  # type: ignore[operator]
    with pytest.raises(StudyChangedError, match=message):
        await store.open(protocol(), folder)
    assert await store.studies() == []


@pytest.mark.parametrize(("change", "message"), CHANGES)
async def test_a_study_changed_after_opening_is_found_and_its_answers_stay(
    engine: AsyncEngine, opened: Open, tmp_path: Path, change: object, message: str
) -> None:
    await opened(protocol())
    change(tmp_path / "dogs")  # type: ignore[operator]
    later = StudyStore(engine)
    with pytest.raises(StudyChangedError, match=message):
        await later.study("dogs")
    assert (await later.study("dogs", checked=False)).protocol == protocol()
    assert (await later.votes("dogs")).study.digest == protocol().digest


@pytest.mark.parametrize("name", ["cats", "", "DOGS", "dogs\0", "x' OR '1'='1", "d" * 200, "\ud800"])
async def test_there_is_no_study_of_another_name(store: StudyStore, opened: Open, name: str) -> None:
    await opened(protocol())
    for use in (store.study, store.status, store.votes):
        with pytest.raises(StudyNotFoundError):
            await use(name)


async def test_a_study_closes_with_its_reason(store: StudyStore, opened: Open, clock: UtcClock) -> None:
    await opened(protocol())
    annotator = await person(store)
    question = await store.question(annotator.id)
    assert isinstance(question, Question)
    clock.turn(minutes=1)
    for reason in ("", "  ", "two\nlines", "nul\0"):
        with pytest.raises(StudyError, match="say why"):
            await store.close("dogs", reason)
    await store.close("dogs", " enough answers ")
    study, status = await store.study("dogs"), await store.status("dogs")
    assert (study.state, study.close_reason, study.closed_at) == ("closed", "enough answers", clock.now)
    assert (status.state, status.close_reason) == ("closed", "enough answers")
    with pytest.raises(StudyClosedError, match="closed already: enough answers"):
        await store.close("dogs", "again")
    for refused in (
        store.question(annotator.id),
        store.answer(annotator.id, question.picture_id, Answer.YES, milliseconds=1, key="k"),
        store.undo(annotator.id),
        store.enter_external("dogs", "new"),
        store.open(protocol(), study.folder),
    ):
        with pytest.raises(StudyClosedError, match="takes no more answers: enough answers"):
            await refused
    # People who came are paid, and may still withdraw.
    assert len(await store.finish(annotator.id)) == 12
    await store.withdraw(annotator.id)


async def test_a_protocol_that_cannot_be_assigned_does_not_open(store: StudyStore, tmp_path: Path) -> None:
    wrong: Protocol = protocol([*protocol(2).pictures, *protocol(1).pictures])
    with pytest.raises(StudyError, match="given twice: p0"):
        await store.open(wrong, write(wrong, tmp_path / "dogs"))
