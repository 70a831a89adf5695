"""What people read: every text of the pages, in English unless the study says otherwise.

    Wording
    ├── question, answers, instructions, consent, thanks     what the study says
    ├── keys                                                 what answers by keyboard
    └── pages                                                what the pages say around it
        ├── every            on every page
        ├── consent, declined, instructions, asking, waiting, practised, paused, finished, withdrawal
        ├── script           what the script says
        └── problems         what went wrong

Every text is plain text. Words in braces stand for what the page knows, and a text holds each of its own at least once.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from whybox_server.studies.protocol.frozen import Frozen

# Languages whose usual script is written from the right, and such scripts, as CLDR has them.
_RIGHT_TO_LEFT = frozenset(
    ["ar", "ckb", "dv", "fa", "he", "iw", "ji", "ks", "lrc", "mzn", "nqo", "pnb", "ps", "sd", "syr", "ug", "ur", "yi"]
)
_RIGHT_TO_LEFT_SCRIPTS = frozenset(["adlm", "arab", "hebr", "mand", "nkoo", "rohg", "samr", "syrc", "thaa"])
_PLACEHOLDER = re.compile(r"\{(\w*)\}")


def _holding(*names: str) -> AfterValidator:
    """A text that holds each of these placeholders, and no other."""

    def check(text: str) -> str:
        if set(_PLACEHOLDER.findall(text)) != set(names):
            raise ValueError(f"must hold {' and '.join(f'{{{name}}}' for name in names)}, and no other braces")
        return text

    return AfterValidator(check)


Text = Annotated[str, Field(pattern=r"\S")]
Key = Annotated[str, Field(min_length=1, max_length=1)]
Position = Annotated[str, _holding("position", "total")]
"""With "{position}", from 1, and "{total}"."""


class Keys(Frozen):
    """Which key gives which answer: one character each, as the keyboards of the people have it.

    Attributes:
        yes: The label is relevant.
        no: It is not.
        maybe: Between them.
        undo: Takes the last answer back.
    """

    yes: Key = "y"
    no: Key = "n"
    maybe: Key = "m"
    undo: Key = "u"

    @model_validator(mode="after")
    def _differ(self) -> Self:
        keys = [key.lower() for key in (self.yes, self.no, self.maybe, self.undo)]
        if len(set(keys)) < len(keys):
            raise ValueError("each key can give one answer alone; choose different ones")
        return self


class Every(Frozen):
    """On every page.

    Attributes:
        study: In place of the title, for people who are not in the study.
        skip: Leads past the header.
        pilot: That answers of a pilot do not count.
        preview: That answers of a preview do not count.
        contact: Before the contact.
    """

    study: Text = "Study"
    skip: Text = "Skip to the content"
    pilot: Text = "This is a pilot: no answer counts."
    preview: Text = "This is a preview: no answer counts."
    contact: Text = "Questions?"


class Consent(Frozen):
    """Around what a person agrees to.

    Attributes:
        title: Of the page.
        heading: Of the page.
        agree: Button of a person who takes part.
        decline: Link for a person who does not.
    """

    title: Text = "Taking part"
    heading: Text = "Before you take part"
    agree: Text = "I agree and take part"
    decline: Text = "I do not take part"


class Declined(Frozen):
    """For a person who does not take part.

    Attributes:
        title: Of the page.
        heading: Of the page.
        paragraphs: What that means.
        again: Link back to the consent.
    """

    title: Text = "Not taking part"
    heading: Text = "You do not take part"
    paragraphs: tuple[Text, ...] = (
        "Nothing is stored of your answers, because there are none. You can close this page.",
        "You can change your mind.",
    )
    again: Text = "Read again what you would agree to"


class Instructions(Frozen):
    """Around what to do.

    Attributes:
        title: Of the page.
        heading: Of the page.
        answers: Above the answers.
        hints: Above the rest.
        pictures: With "{number}", the most pictures that the person is asked about.
        pausing: That one can pause.
        undoing: That one can take back an answer.
        keys: With "{key}", the key that takes the last answer back.
        practise: Button that leads to the practice pictures.
        start: Button that leads to the first picture.
        leave: Link to the withdrawal.
    """

    title: Text = "What to do"
    heading: Text = "What to do"
    answers: Text = "Your answers"
    hints: Text = "Good to know"
    pictures: Annotated[str, _holding("number")] = "Number of pictures: at most {number}."
    pausing: Text = "You can pause at any time and go on later, also on another device."
    undoing: Text = "You can take back your last answer."
    keys: Annotated[str, _holding("key")] = (
        "The keys above answer as well, and {key} takes the last answer back. They can be switched off below each"
        " question."
    )
    practise: Text = "Start practising"
    start: Text = "Start"
    leave: Text = "Leave and delete my answers"


class Asking(Frozen):
    """Around a question.

    Attributes:
        question: How far the person is.
        practice: How far the person is with practice pictures.
        answered: Name of the bar that shows how many questions are answered.
        practised: Name of the bar that shows how many practice pictures are answered.
        done: What the bar says: "{position}" is the number of answers.
        picture: Alternative text of the picture; it must not tell the label.
        map: Alternative text of the map.
        example: Alternative text of an example.
        pause: Button.
        undo: Button that takes the last answer back.
        instructions: Link to them.
        leave: Link to the withdrawal.
        late: After an answer that came too late.
        has_answer: After an answer to a question that has one.
        taken: After an undo that comes too late.
        nothing_to_undo: After an undo that is not possible.
    """

    question: Position = "Question {position} of {total}"
    practice: Position = "Practice {position} of {total}"
    answered: Text = "Questions answered"
    practised: Text = "Practice answered"
    done: Position = "{position} of {total}"
    picture: Text = "The picture that the question is about"
    map: Text = "Map over the same picture"
    example: Position = "Similar picture {position} of {total}"
    pause: Text = "Pause"
    undo: Text = "Undo last answer"
    instructions: Text = "Instructions"
    leave: Text = "Leave and delete my answers"
    late: Text = "Your answer came late, and others have judged that picture in the meantime. Here is another one."
    has_answer: Text = "That question has its answer already. Here is the next one."
    taken: Text = "That answer cannot be taken back any more: another person was asked about the picture instead."
    nothing_to_undo: Text = "There is no answer that can be taken back: only the last one can."


class Waiting(Frozen):
    """While others hold all that is left.

    Attributes:
        title: Of the page.
        heading: Of the page.
        again: With "{seconds}", after which the page looks again.
        later: That one can close the page.
        look: Link that looks at once.
        undo: Button that takes the last answer back.
        leave: Link to the withdrawal.
    """

    title: Text = "Please wait"
    heading: Text = "Others are answering about the last pictures"
    again: Annotated[str, _holding("seconds")] = (
        "A picture may come back to you: when somebody pauses, leaves, or cannot judge it. This page looks again every"
        " {seconds} seconds."
    )
    later: Text = "You can also close it, and come back later by your link. Your answers are saved."
    look: Text = "Look again now"
    undo: Text = "Undo last answer"
    leave: Text = "Leave and delete my answers"


class Practised(Frozen):
    """After a practice answer.

    Attributes:
        right_title: Of the page after the expected answer.
        right: Heading after the expected answer.
        wrong_title: Of the page after another answer.
        wrong: Heading after another answer.
        picture: Alternative text of the picture.
        given: Before what the person answered.
        expected: Before the expected answer.
        fits: Why yes is expected, for practice that `study create` draws.
        fits_not: Why no is expected, likewise; "{label}" is what the picture shows.
        more: Link to the next practice picture.
        start: Link to the first picture that counts.
    """

    right_title: Text = "As expected"
    right: Text = "That is the expected answer"
    wrong_title: Text = "Not as expected"
    wrong: Text = "Another answer is expected"
    picture: Text = "The picture that you answered about"
    given: Text = "You"
    expected: Text = "Expected"
    fits: Text = "The label names something that the picture shows."
    fits_not: Annotated[str, _holding("label")] = "The picture shows “{label}”, and nothing that the label names."
    more: Text = "Go on practising"
    start: Text = "Start with the first picture"


class Paused(Frozen):
    """During a pause.

    Attributes:
        title: Of the page.
        heading: Of the page.
        paragraphs: How to go on.
        link: Name of the link for another device.
        copy_link: Button.
        go_on: Button.
        leave: Link to the withdrawal.
    """

    title: Text = "Paused"
    heading: Text = "Paused"
    paragraphs: tuple[Text, ...] = (
        "Your answers are saved. You can go on here, or on another device by this link. Keep it to yourself: whoever"
        " has it can answer in your place.",
    )
    link: Text = "Your link"
    copy_link: Text = "Copy the link"
    go_on: Text = "Go on"
    leave: Text = "Leave and delete my answers"


class Finished(Frozen):
    """At the end.

    Attributes:
        title: Of the page.
        heading: After the last question.
        closed: Heading if the study closed before.
        closed_paragraph: What that means.
        code: Above the completion code.
        copy_code: Button.
        platform: Link to where the person came from.
        undo: Button that takes the last answer back.
        delete: Link to the withdrawal.
    """

    title: Text = "Finished"
    heading: Text = "All done"
    closed: Text = "The study is closed"
    closed_paragraph: Text = "It takes no more answers. Those that you gave are saved."
    code: Text = "Your completion code"
    copy_code: Text = "Copy the code"
    platform: Text = "Return to the platform"
    undo: Text = "Undo last answer"
    delete: Text = "Delete my answers"


class Withdrawal(Frozen):
    """Before and after a person's data are deleted.

    Attributes:
        title: Of the page.
        heading: Of the page.
        paragraph: What is deleted.
        no_code: For people of a platform.
        rest: That a pause deletes nothing.
        delete: Button.
        keep: Link back.
        left: Heading after the deletion.
        left_paragraph: What that means.
    """

    title: Text = "Leave the study"
    heading: Text = "Leave and delete all your answers?"
    paragraph: Text = "All that you answered is deleted, and cannot be brought back. Your link lets you in no more."
    no_code: Text = "There is no completion code either."
    rest: Text = "If you only need a rest, go back and pause: your answers stay."
    delete: Text = "Delete all my answers"
    keep: Text = "Keep them and go back"
    left: Text = "Your answers are deleted"
    left_paragraph: Text = "Nothing that you answered is kept. You can close this page."


class Script(Frozen):
    """What the script says.

    Attributes:
        no_picture: A picture did not come.
        no_network: An answer did not arrive.
        keys_off: Button that switches the keys off.
        keys_on: Button that switches the keys on.
        copied: After a copy.
        selected: Where the browser does not let pages copy.
    """

    no_picture: Text = "A picture could not be loaded. Please load the page again."
    no_network: Text = "The connection is lost. Your answer is kept here and sent again."
    keys_off: Text = "Switch keys off"
    keys_on: Text = "Switch keys on"
    copied: Text = "Copied."
    selected: Text = "Selected. Copy it with the keys of your system."


class Problem(Frozen):
    """What went wrong, told to a person who did not cause it most of the time.

    Attributes:
        heading: What it is.
        paragraphs: What to do.
    """

    heading: Text
    paragraphs: tuple[Text, ...]


class Problems(Frozen):
    """What can go wrong.

    Attributes:
        no_page: There is no page of this address.
        invitation: An invitation is forged, cut off or expired.
        no_session: The browser is not in the study.
        left: The person withdrew.
        foreign_form: A form is not of this visit.
        bad_form: A form is not one of these pages.
        closed: The study takes no more answers, and the person is new.
        fault: The study is not as it should be.
        busy: The database does not answer.
        unexpected: Something else.
    """

    no_page: Problem = Problem(
        heading="There is no such page", paragraphs=("Please check the link that you were given.",)
    )
    invitation: Problem = Problem(
        heading="This invitation is not valid",
        paragraphs=(
            "It may have expired, or its link was not copied as a whole.",
            "Please ask the people who invited you for a new one.",
        ),
    )
    no_session: Problem = Problem(
        heading="Please come in by your invitation",
        paragraphs=(
            "This page is for people who were invited. Open the link that you were given.",
            "If you did, this browser keeps no cookies: allow them for this page, and open the link again.",
        ),
    )
    left: Problem = Problem(
        heading="You have left this study",
        paragraphs=("Your answers were deleted. To take part again, ask for a new invitation.",),
    )
    foreign_form: Problem = Problem(
        heading="This form is out of date",
        paragraphs=(
            "It was not sent by a page of your present visit, so nothing was changed. Open your invitation again.",
        ),
    )
    bad_form: Problem = Problem(
        heading="This cannot be done",
        paragraphs=("What your browser sent is not what this page sends. Please load the page again.",),
    )
    closed: Problem = Problem(
        heading="The study is closed", paragraphs=("It takes no more answers. Thank you for your interest.",)
    )
    fault: Problem = Problem(
        heading="The study has a fault",
        paragraphs=("It is not your fault, and your answers are saved. Please tell the people who invited you.",),
    )
    busy: Problem = Problem(
        heading="The study rests for a moment",
        paragraphs=("Your answers are saved. Please load the page again in a minute.",),
    )
    unexpected: Problem = Problem(
        heading="Something went wrong",
        paragraphs=("It is not your fault, and your answers are saved. Please load the page again.",),
    )


class Pages(Frozen):
    """What the pages say around the study's own texts, page by page."""

    every: Every = Every()
    consent: Consent = Consent()
    declined: Declined = Declined()
    instructions: Instructions = Instructions()
    asking: Asking = Asking()
    waiting: Waiting = Waiting()
    practised: Practised = Practised()
    paused: Paused = Paused()
    finished: Finished = Finished()
    withdrawal: Withdrawal = Withdrawal()
    script: Script = Script()
    problems: Problems = Problems()


class Wording(Frozen):
    """What people read; every text is plain text, and none is empty if nothing else is said.

    Attributes:
        language: Of all texts, as in HTML's `lang`.
        title: Of the study.
        question: With "{label}" where the label stands.
        yes: The answer that the label is relevant.
        no: The answer that it is not.
        maybe: The answer between them, shown if the policy has it.
        cannot_judge: The answer that is no vote.
        feature: What the map of the arm `feature` shows, in one sentence.
        example: What the pictures of the arm `example` are, in one sentence.
        instructions: What to do, a paragraph each.
        consent: What a person agrees to, a paragraph each.
        thanks: What a person reads at the end.
        contact: Whom to ask, such as an address of mail; "" for nobody.
        keys: What answers by keyboard.
        pages: What the pages say around all this.
    """

    language: Annotated[str, Field(pattern="^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")] = "en"
    title: Text = "Which labels fit?"
    question: Annotated[str, Field(pattern=r"\{label\}")] = "Is “{label}” relevant for this picture?"
    yes: Text = "Yes"
    no: Text = "No"
    maybe: Text = "Maybe"
    cannot_judge: Text = "I cannot see or judge this picture"
    feature: Text = "The map marks the parts of the picture that count most for this label."
    example: Text = "These are the most similar pictures of a collection."
    instructions: tuple[Text, ...] = (
        "You see one picture at a time, and a label. Say whether the label is relevant for the picture.",
        "A label is relevant if it names something that the picture shows, even if it shows other things as well.",
    )
    consent: Annotated[tuple[Text, ...], Field(min_length=1)] = (
        "Your answers are stored under a random name and published in this form. They are used for research only.",
        "You can stop at any time, and have all your answers deleted.",
    )
    thanks: Text = "Thank you. All your answers are saved."
    contact: str = ""
    keys: Keys = Keys()
    pages: Pages = Pages()

    @property
    def direction(self) -> Literal["ltr", "rtl"]:
        """In which direction the language is written."""
        language, *subtags = self.language.lower().split("-")
        scripts = [subtag for subtag in subtags if len(subtag) == 4 and subtag.isalpha()]
        if scripts:
            return "rtl" if scripts[0] in _RIGHT_TO_LEFT_SCRIPTS else "ltr"
        return "rtl" if language in _RIGHT_TO_LEFT else "ltr"

    def missing(self) -> list[str]:
        """Texts that are the English ones because they were not given, such as "pages.asking.pause"."""
        return [name for name in _left_out(self) if name not in _NEEDS_NO_TRANSLATION]


_NEEDS_NO_TRANSLATION = ("language", "contact")


def _left_out(part: Frozen, prefix: str = "") -> Iterator[str]:
    for name in type(part).model_fields:
        value, given = getattr(part, name), name in part.model_fields_set
        if isinstance(value, Frozen) and not isinstance(value, (Keys, Problem)):
            yield from _left_out(value, f"{prefix}{name}.")
        elif not given:
            yield f"{prefix}{name}"
