"""People come in, are asked, answer, take back, pause, withdraw and finish."""

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from server.studies.conftest import Open
from server.studies.people import answer_all, people, person
from studying import CLEAN, UtcClock, picture, protocol
from whybox_server.database.engine import reading
from whybox_server.studies.errors import (
    AnnotatorNotFoundError,
    AnswerError,
    InvitationError,
    LeaseExpiredError,
    NoConsentError,
    StudyError,
    UnfinishedError,
)
from whybox_server.studies.protocol import Answer
from whybox_server.studies.state import Accepted, Annotator, Question, Wait
from whybox_server.studies.store import StudyStore


async def asked(store: StudyStore, annotator: Annotator) -> Question:
    question = await store.question(annotator.id)
    assert isinstance(question, Question)
    return question


async def answered(
    store: StudyStore, annotator: Annotator, question: Question, key: str, answer: Answer = Answer.YES
) -> Accepted:
    return await store.answer(annotator.id, question.picture_id, answer, milliseconds=900, key=key)


async def test_an_invitation_is_one_person_on_every_device(store: StudyStore, opened: Open, clock: UtcClock) -> None:
    await opened(protocol())
    tokens = await store.invite("dogs", 3, timedelta(hours=1))
    first = await store.enter("dogs", tokens[0])
    assert first == Annotator(first.id, "dogs", "invited", consented=False, practised=0, external=False)
    assert await store.enter("dogs", tokens[0]) == first
    assert len({(await store.enter("dogs", token)).id for token in tokens}) == 3
    resumed = await store.resume_token(first)
    assert await store.enter("dogs", resumed) == first
    clock.turn(hours=1)
    for token in (tokens[0], resumed):
        with pytest.raises(InvitationError, match="expired"):
            await store.enter("dogs", token)


async def test_an_invitation_is_for_one_study(store: StudyStore, opened: Open) -> None:
    await opened(protocol())
    await opened(protocol(name="cats"))
    (token,) = await store.invite("dogs", 1, timedelta(hours=1))
    with pytest.raises(InvitationError, match="no invitation to this study"):
        await store.enter("cats", token)
    annotator = await store.enter("dogs", token)
    with pytest.raises(AnnotatorNotFoundError):
        await store.annotator("cats", annotator.id)


@pytest.mark.parametrize(("number", "valid"), [(0, timedelta(hours=1)), (-1, timedelta(hours=1)), (1, timedelta(0))])
async def test_empty_invitations_are_refused(store: StudyStore, opened: Open, number: int, valid: timedelta) -> None:
    await opened(protocol())
    with pytest.raises(StudyError, match="invite at least one person"):
        await store.invite("dogs", number, valid)


async def test_the_id_of_a_platform_is_one_person_and_not_kept(
    store: StudyStore, opened: Open, engine: AsyncEngine
) -> None:
    await opened(protocol())
    annotator = await store.enter_external("dogs", "prolific-5f3a")
    assert annotator.external
    assert await store.enter_external("dogs", "prolific-5f3a") == annotator
    assert (await store.enter_external("dogs", "prolific-5f3b")).id != annotator.id
    async with reading(engine) as session:
        for table in ("annotators", "events", "studies"):
            rows = (await session.execute(text(f"SELECT * FROM {table}"))).all()
            assert rows
            assert "prolific" not in str(rows)
    for wrong in ("", "x" * 201, "a\0b", "\ud800", "a\ufffd"):
        with pytest.raises(InvitationError, match="printable"):
            await store.enter_external("dogs", wrong)


@pytest.mark.parametrize("name", ["x" * 22, "", "x", "' OR 1=1 --", "\0" * 22, "\ud800" * 22])
async def test_nobody_of_another_name_is_known(store: StudyStore, opened: Open, name: str) -> None:
    await opened(protocol())
    for use in (store.consent, store.question, store.undo, store.pause, store.withdraw, store.finish):
        with pytest.raises(AnnotatorNotFoundError):
            await use(name)
    with pytest.raises(AnnotatorNotFoundError):
        await store.annotator("dogs", name)


async def test_people_are_asked_only_after_consent(store: StudyStore, opened: Open) -> None:
    await opened(protocol())
    annotator = await store.enter_external("dogs", "anna")
    with pytest.raises(NoConsentError):
        await store.question(annotator.id)
    await store.consent(annotator.id)
    await store.consent(annotator.id)
    told = await store.annotator("dogs", annotator.id)
    assert (told.state, told.consented) == ("active", True)
    assert await store.question(annotator.id)


async def test_practice_comes_first_then_items_with_gold_among_them(store: StudyStore, opened: Open) -> None:
    await opened(protocol(4, practice=2, gold=2))
    annotator = await person(store)
    questions = await answer_all(store, annotator)
    assert [question.kind for question in questions[:2]] == ["practice", "practice"]
    assert [question.picture_id for question in questions[:2]] == ["practice0", "practice1"]
    assert Counter(question.kind for question in questions[2:]) == {"item": 4, "gold": 2}
    assert [(question.position, question.total) for question in questions] == [
        *((place, 2) for place in (1, 2)),
        *((place, 6) for place in range(1, 7)),
    ]
    assert len({question.picture_id for question in questions}) == 8
    told = await store.annotator("dogs", annotator.id)
    assert (told.state, told.practised) == ("finished", 2)
    assert all(bool(question.known) == (question.kind != "item") for question in questions)


async def test_only_practice_answers_tell_what_is_right(store: StudyStore, opened: Open) -> None:
    await opened(protocol(2, practice=1, gold=1))
    annotator = await person(store)
    told = {}
    while isinstance(question := await store.question(annotator.id), Question):
        accepted = await answered(store, annotator, question, question.picture_id, Answer.NO)
        told[accepted.kind] = accepted.known
    assert told["practice"]
    assert (told["practice"].right, told["practice"].why) == (Answer.YES, "a spaniel")
    assert told["item"] is told["gold"] is None


async def test_a_person_sees_each_picture_once_and_each_arm_equally_often(store: StudyStore, opened: Open) -> None:
    await opened(protocol(6))
    for annotator in await people(store, 4):
        questions = await answer_all(store, annotator)
        assert len({question.picture_id for question in questions}) == 6
        assert Counter(question.item.cells[0] for question in questions) == {cell.name: 3 for cell in CLEAN}


async def test_a_person_is_asked_about_no_more_than_agreed(store: StudyStore, opened: Open) -> None:
    await opened(protocol(6, pictures_per_annotator=3))
    assert len(await answer_all(store, await person(store))) == 3


async def test_the_same_seed_asks_the_same(store: StudyStore, opened: Open) -> None:
    orders = []
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        await opened(protocol(12, name=name, seed=seed, gold=2))
        questions = await answer_all(store, await person(store, name))
        orders.append([(question.picture_id, question.item.cells) for question in questions])
    assert orders[0] == orders[1] != orders[2]


async def test_who_waits_has_finished_once_nothing_can_come_back(store: StudyStore, opened: Open) -> None:
    await opened(protocol(1, cells=CLEAN[:1]))
    *early, last, waiting = await people(store, 6)
    for annotator in early:
        await answered(store, annotator, await asked(store, annotator), "k")
    question = await asked(store, last)
    for _ in range(2):
        assert isinstance(await store.question(waiting.id), Wait)
    with pytest.raises(UnfinishedError):
        await store.finish(waiting.id)
    await answered(store, last, question, "k")
    assert await store.question(waiting.id) is None
    assert await store.finish(waiting.id)


async def test_nobody_waits_for_what_is_not_for_them(store: StudyStore, opened: Open) -> None:
    """The one picture that others are asked about is one that the person answered, or saw in another arm."""
    await opened(protocol(1))
    annotators = await people(store, 9)
    for annotator in annotators[:8]:
        await answered(store, annotator, await asked(store, annotator), "k")
        assert await store.question(annotator.id) is None
    await asked(store, annotators[8])
    assert await store.question(annotators[0].id) is None


async def test_what_is_given_back_goes_to_who_waits(store: StudyStore, opened: Open) -> None:
    await opened(protocol(1, cells=CLEAN[:1]))
    *early, pausing, waiting = await people(store, 6)
    for annotator in early:
        await answered(store, annotator, await asked(store, annotator), "k")
    await asked(store, pausing)
    assert isinstance(await store.question(waiting.id), Wait)
    await store.pause(pausing.id)
    await asked(store, waiting)
    assert isinstance(await store.question(pausing.id), Wait)


async def test_the_next_question_can_come_with_the_answer(store: StudyStore, opened: Open, engine: AsyncEngine) -> None:
    await opened(protocol(2))
    annotator = await person(store)
    for number in range(2):
        question = await asked(store, annotator)
        await store.answer(annotator.id, question.picture_id, Answer.YES, milliseconds=1, key=str(number), goes_on=True)
    assert (await store.annotator("dogs", annotator.id)).state == "finished"
    async with reading(engine) as session:
        events = (await session.scalars(text("SELECT what FROM events ORDER BY id"))).all()
    assert events == ["open", "invitation", "consent", "lease", "answer", "lease", "answer", "finish"]


@pytest.mark.parametrize(("seconds", "renewed"), [(0, False), (30, False), (31, True), (60, True)])
async def test_a_reload_asks_the_same_and_keeps_it_for_half_a_lease_at_least(
    store: StudyStore, opened: Open, clock: UtcClock, seconds: int, renewed: bool
) -> None:
    await opened(protocol(lease_seconds=60))
    annotator = await person(store)
    first = await asked(store, annotator)
    assert first.lease_until == clock.now + timedelta(seconds=60)
    clock.turn(seconds=seconds)
    again = await asked(store, annotator)
    assert (again.picture_id, again.item, again.position) == (first.picture_id, first.item, first.position)
    assert again.lease_until == (clock.now + timedelta(seconds=60) if renewed else first.lease_until)
    assert (await store.status("dogs")).cells[first.item.cells[0]].leased == 1


async def test_an_answer_with_the_same_key_is_stored_once(store: StudyStore, opened: Open) -> None:
    await opened(protocol(practice=1))
    annotator = await person(store)
    for _ in range(2):
        question = await asked(store, annotator)
        first = await answered(store, annotator, question, question.picture_id)
        assert await answered(store, annotator, question, question.picture_id) == first
        # The outcome is that of the key, whatever comes with it.
        assert await answered(store, annotator, question, question.picture_id, Answer.NO) == first
        with pytest.raises(AnswerError, match="has its answer already"):
            await answered(store, annotator, question, "another")
    votes = await store.votes("dogs")
    assert [(vote.answer, vote.picture_id) for vote in votes.items] == [(Answer.YES, question.picture_id)]
    assert (await store.annotator("dogs", annotator.id)).practised == len(votes.practice) == 1


async def test_keys_of_two_people_are_apart(store: StudyStore, opened: Open) -> None:
    await opened(protocol())
    for annotator in await people(store, 2):
        await answered(store, annotator, await asked(store, annotator), "same")
    assert (await store.status("dogs")).answers == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": Answer.MAYBE}, "maybe is not offered; answer one of yes, no, cannot_judge"),
        ({"picture_id": "p9"}, "was not asked about this picture"),
        ({"picture_id": "\0"}, "was not asked about this picture"),
        ({"milliseconds": -1}, "milliseconds: -1"),
        ({"milliseconds": 2**31}, "milliseconds"),
        ({"key": ""}, "key"),
        ({"key": "x" * 201}, "key"),
        ({"key": "\0"}, "key"),
    ],
)
async def test_wrong_answers_are_refused(
    store: StudyStore, opened: Open, change: dict[str, object], message: str
) -> None:
    await opened(protocol())
    annotator = await person(store)
    question = await asked(store, annotator)
    values = {"picture_id": question.picture_id, "answer": Answer.YES, "milliseconds": 1, "key": "k", **change}
    with pytest.raises(AnswerError, match=message):
        await store.answer(annotator.id, **values)  # type: ignore[arg-type]
    assert (await store.status("dogs")).answers == 0
    assert (await asked(store, annotator)).picture_id == question.picture_id


async def test_people_cannot_answer_for_others_or_before_they_are_asked(store: StudyStore, opened: Open) -> None:
    await opened(protocol())
    anna, eva = await people(store, 2)
    question = await asked(store, anna)
    with pytest.raises(AnswerError, match="was not asked"):
        await answered(store, eva, question, "k")


@pytest.mark.parametrize(("unjudged", "votes"), [(0, 5), (1, 5), (5, 5), (6, 4), (10, 0)])
async def test_what_is_no_vote_leaves_its_place_until_twice_the_quota_answered(
    store: StudyStore, opened: Open, unjudged: int, votes: int
) -> None:
    await opened(protocol(1, cells=CLEAN[:1]))
    annotators = await people(store, 12)
    for number, annotator in enumerate(annotators[: unjudged + votes]):
        assert not (await store.status("dogs")).full
        answer = Answer.CANNOT_JUDGE if number < unjudged else Answer.NO
        await answered(store, annotator, await asked(store, annotator), "k", answer)
    status = await store.status("dogs")
    assert (status.answers, status.cannot_judge, status.full) == (unjudged + votes, unjudged, True)
    assert status.cells["none/clean/model"].answered == votes
    assert await store.question(annotators[-1].id) is None


async def test_an_answer_that_is_no_vote_is_undone_while_its_place_is_free(store: StudyStore, opened: Open) -> None:
    await opened(protocol(1, cells=CLEAN[:1]))
    *four, first, second, third = await people(store, 7)
    for annotator in four:
        await answered(store, annotator, await asked(store, annotator), "k")
    question = await asked(store, first)
    await answered(store, first, question, "k", Answer.CANNOT_JUDGE)
    assert await store.undo(first.id)
    assert isinstance(await store.question(second.id), Wait)
    await answered(store, first, question, "again", Answer.CANNOT_JUDGE)
    await asked(store, second)
    with pytest.raises(LeaseExpiredError, match="others were asked about picture p0"):
        await store.undo(first.id)
    await answered(store, second, question, "k", Answer.CANNOT_JUDGE)
    await answered(store, third, await asked(store, third), "k")
    status = await store.status("dogs")
    assert (status.answers, status.cannot_judge, status.full) == (7, 2, True)


async def test_the_place_of_who_withdraws_without_a_vote_is_counted_once(store: StudyStore, opened: Open) -> None:
    await opened(protocol(1, cells=CLEAN[:1]))
    annotators = await people(store, 11)
    for annotator in annotators[:10]:
        await answered(store, annotator, await asked(store, annotator), "k", Answer.CANNOT_JUDGE)
    assert await store.question(annotators[10].id) is None
    await store.withdraw(annotators[0].id)
    (last,) = await people(store, 1)
    await answered(store, last, await asked(store, last), "k")
    status = await store.status("dogs")
    assert (status.answers, status.cannot_judge, status.full) == (10, 9, True)


async def test_a_lease_that_ran_out_is_another_persons(store: StudyStore, opened: Open, clock: UtcClock) -> None:
    """One item with room for five: the sixth person gets it when the first is late."""
    await opened(protocol(1, cells=CLEAN[:1], lease_seconds=60))
    *early, late, sixth = await people(store, 6)
    for annotator in early:
        await answered(store, annotator, await asked(store, annotator), "k")
    question = await asked(store, late)
    assert await store.question(sixth.id) == Wait(question.lease_until)
    assert (await store.annotator("dogs", sixth.id)).state == "active"
    clock.turn(seconds=61)
    await answered(store, sixth, await asked(store, sixth), "k")
    with pytest.raises(LeaseExpiredError, match="others answered"):
        await answered(store, late, question, "k")
    assert await store.question(late.id) is None
    status = await store.status("dogs")
    assert (status.answers, status.full) == (5, True)


@pytest.mark.parametrize("swept", [False, True])
async def test_a_late_answer_counts_while_there_is_room(
    store: StudyStore, opened: Open, clock: UtcClock, swept: bool
) -> None:
    await opened(protocol(1, cells=CLEAN[:1], lease_seconds=60))
    late, other = await people(store, 2)
    question = await asked(store, late)
    clock.turn(hours=5)
    assert (await store.status("dogs")).cells["none/clean/model"].leased == 0
    if swept:
        await asked(store, other)
    await answered(store, late, question, "k")
    assert (await store.status("dogs")).answers == 1


async def test_the_last_answer_can_be_undone_once(store: StudyStore, opened: Open) -> None:
    await opened(protocol(3))
    annotator = await person(store)
    assert await store.undo(annotator.id) is None
    first = await asked(store, annotator)
    await answered(store, annotator, first, "1")
    second = await asked(store, annotator)
    await answered(store, annotator, second, "2", Answer.NO)
    third = await asked(store, annotator)
    again = await store.undo(annotator.id)
    assert again
    assert (again.picture_id, again.item, again.position) == (second.picture_id, second.item, second.position)
    assert await store.undo(annotator.id) is None
    assert (await store.status("dogs")).answers == 1
    # The key of the undone answer changes nothing any more.
    await answered(store, annotator, second, "2", Answer.NO)
    assert (await store.status("dogs")).answers == 1
    assert (await asked(store, annotator)).picture_id == second.picture_id
    await answered(store, annotator, second, "3", Answer.YES)
    assert (await asked(store, annotator)).picture_id == third.picture_id
    assert [vote.answer for vote in (await store.votes("dogs")).items] == [Answer.YES, Answer.YES]


async def test_the_very_last_answer_can_be_undone_after_the_end(store: StudyStore, opened: Open) -> None:
    await opened(protocol(2))
    annotator = await person(store)
    await answer_all(store, annotator)
    undone = await store.undo(annotator.id)
    assert undone
    assert (await store.annotator("dogs", annotator.id)).state == "active"
    await answered(store, annotator, undone, "again", Answer.NO)
    assert await store.question(annotator.id) is None
    assert (await store.status("dogs")).answers == 2


async def test_a_practice_answer_is_not_undone(store: StudyStore, opened: Open) -> None:
    await opened(protocol(practice=1))
    annotator = await person(store)
    await answered(store, annotator, await asked(store, annotator), "k")
    assert await store.undo(annotator.id) is None
    assert (await store.annotator("dogs", annotator.id)).practised == 1


async def test_a_pause_gives_the_item_back(store: StudyStore, opened: Open) -> None:
    await opened(protocol(2))
    annotator = await person(store)
    await asked(store, annotator)
    await store.pause(annotator.id)
    assert all(cell.leased == 0 for cell in (await store.status("dogs")).cells.values())
    assert len(await answer_all(store, annotator)) == 2


async def test_a_picture_stays_in_the_arm_in_which_it_was_seen(
    store: StudyStore, opened: Open, clock: UtcClock
) -> None:
    """Leases run out again and again; nobody ever sees a picture in a second arm."""
    await opened(protocol(4, lease_seconds=60))
    shown: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    annotators = await people(store, 4)
    for turn in range(40):
        annotator = annotators[turn % 4]
        if isinstance(question := await store.question(annotator.id), Question):
            shown.setdefault((annotator.id, question.picture_id), set()).add(question.item.cells)
            if turn % 3 == 0:
                await answered(store, annotator, question, str(turn))
        clock.turn(seconds=45)
    assert shown
    assert all(len(cells) == 1 for cells in shown.values())


async def test_gold_that_was_given_back_is_asked_again(store: StudyStore, opened: Open) -> None:
    await opened(protocol(2, gold=2))
    annotator = await person(store)
    kinds = []
    while await store.question(annotator.id):
        await store.pause(annotator.id)
        question = await asked(store, annotator)
        await answered(store, annotator, question, question.picture_id)
        kinds.append(question.kind)
    assert Counter(kinds) == {"gold": 2, "item": 2}


async def test_who_withdraws_leaves_nothing(store: StudyStore, opened: Open, engine: AsyncEngine) -> None:
    await opened(protocol(2, practice=1, gold=1))
    other = await person(store)
    await answer_all(store, other)
    annotator = await store.enter_external("dogs", "anna")
    await store.consent(annotator.id)
    for number in range(3):
        await answered(store, annotator, await asked(store, annotator), str(number))
    await asked(store, annotator)
    token = await store.resume_token(annotator)
    await store.withdraw(annotator.id)
    votes = await store.votes("dogs")
    assert {vote.annotator_id for vote in (*votes.items, *votes.gold, *votes.practice)} == {other.id}
    told = await store.annotator("dogs", annotator.id)
    assert told == Annotator(annotator.id, "dogs", "withdrawn", consented=False, practised=0, external=False)
    async with reading(engine) as session:
        for table in ("assignments", "events"):
            rows = await session.execute(text(f"SELECT count(*) FROM {table} WHERE annotator_id = '{annotator.id}'"))
            assert rows.scalar() == 0
        taken = await session.scalar(text("SELECT sum(taken) FROM items"))
    assert taken == 2
    with pytest.raises(InvitationError, match="withdrew"):
        await store.enter("dogs", token)
    with pytest.raises(AnnotatorNotFoundError, match="withdrew"):
        await store.withdraw(annotator.id)
    assert (await store.enter_external("dogs", "anna")).id != annotator.id


async def test_the_quota_of_who_withdraws_opens_again(store: StudyStore, opened: Open) -> None:
    await opened(protocol(1, cells=CLEAN[:1]))
    annotators = await people(store, 5)
    for annotator in annotators:
        await answer_all(store, annotator)
    assert (await store.status("dogs")).full
    await store.withdraw(annotators[0].id)
    assert not (await store.status("dogs")).full
    assert len(await answer_all(store, await person(store))) == 1
    assert (await store.status("dogs")).full


async def test_the_code_is_for_those_who_finished(store: StudyStore, opened: Open) -> None:
    await opened(protocol(1))
    annotator = await person(store)
    with pytest.raises(UnfinishedError):
        await store.finish(annotator.id)
    await answer_all(store, annotator)
    code = await store.finish(annotator.id)
    assert await store.finish(annotator.id) == code
    other = await person(store)
    await answer_all(store, other)
    assert await store.finish(other.id) != code


async def test_an_answer_counts_for_all_cells_of_its_item(store: StudyStore, opened: Open) -> None:
    names = [cell.name for cell in CLEAN]
    await opened(protocol([picture("p0", merged=[names]), picture("p1")]))
    for annotator in await people(store, 10):
        await answer_all(store, annotator)
    status = await store.status("dogs")
    assert status.answers == 15
    assert {name: (cell.needed, cell.answered) for name, cell in status.cells.items()} == dict.fromkeys(names, (10, 10))
    assert status.full
    assert Counter(vote.cells for vote in (await store.votes("dogs")).items) == {
        tuple(names): 5,
        (names[0],): 5,
        (names[1],): 5,
    }


async def test_status_counts_people_gold_and_leases(store: StudyStore, opened: Open) -> None:
    await opened(protocol(2, gold=2, gold_failures_allowed=1))
    await store.invite("dogs", 1, timedelta(hours=1))
    careless, careful, begun, gone = await people(store, 4)
    await answer_all(store, careless, Answer.NO)
    await answer_all(store, careful)
    await store.withdraw(gone.id)
    while (await asked(store, begun)).kind == "gold":
        await answered(store, begun, await asked(store, begun), (await asked(store, begun)).picture_id)
    status = await store.status("dogs")
    assert status.annotators == {"invited": 1, "active": 1, "finished": 2, "withdrawn": 1}
    assert (status.gold_failures, status.excluded) == (2, 1)
    assert status.answers == 4
    assert sum(cell.leased for cell in status.cells.values()) == 1
    assert sum(cell.answered for cell in status.cells.values()) == 4
    assert not status.full


async def test_votes_tell_who_said_what_when(store: StudyStore, opened: Open, clock: UtcClock) -> None:
    await opened(protocol(1, gold=1, practice=1))
    annotator = await person(store)
    await answer_all(store, annotator)
    votes = await store.votes("dogs")
    (item,), (gold,), (practice,) = votes.items, votes.gold, votes.practice
    assert (item.annotator_id, item.picture_id, item.answer) == (annotator.id, "p0", Answer.YES)
    assert (item.milliseconds, item.at) == (900, clock.now)
    assert (gold.cells, practice.cells) == (("gold",), ("practice",))
    assert votes.study == await store.study("dogs")


async def test_events_tell_all_that_happened(
    store: StudyStore, opened: Open, clock: UtcClock, engine: AsyncEngine
) -> None:
    await opened(protocol(2, lease_seconds=60))
    annotator = await person(store)
    await answered(store, annotator, await asked(store, annotator), "1")
    await store.undo(annotator.id)
    clock.turn(seconds=61)
    await answered(store, annotator, await asked(store, annotator), "2", Answer.NO)
    await asked(store, annotator)
    await store.pause(annotator.id)
    await store.close("dogs", "enough")
    async with reading(engine) as session:
        events = (await session.execute(text("SELECT what, answer FROM events ORDER BY id"))).all()
    assert [tuple(event) for event in events] == [
        ("open", None),
        ("invitation", None),
        ("consent", None),
        ("lease", None),
        ("answer", "yes"),
        ("undo", "yes"),
        ("expiry", None),
        ("lease", None),
        ("answer", "no"),
        ("lease", None),
        ("pause", None),
        ("close", None),
    ]
