"""What the results are about: a study of one's own, or published votes."""

from dataclasses import dataclass

from whybox_server.studies.results.outcome import Outcome

_ESTIMAND = (
    "The estimand is what a fresh majority of five people of the same crowd would say of questions from the same"
    " source. Each interval is for 95 %, by itself."
)


@dataclass(frozen=True)
class Count:
    """A number that the answers give by counting alone.

    Attributes:
        what: What is counted.
        number: How many there are.
        of: Of how many.
    """

    what: str
    number: int
    of: int


@dataclass(frozen=True)
class Subject:
    """What the results are about.

    Attributes:
        study: Id of the study, or name of the import.
        digest: Digest of the protocol; "" for published votes.
        title: Its title.
        model: The model whose answers people were asked about; "" if no error can be rectified.
        data: The data set.
        source: Who collected the votes, and where they are described; "" for a study of one's own.
        asked: What people were asked.
        of: What they were asked about, in the plural.
        counts: Numbers by counting alone.
        limits: What cannot be known from these answers, a sentence each.
    """

    study: str
    digest: str
    title: str
    model: str
    data: str
    source: str
    asked: str
    of: str = "pictures"
    counts: tuple[Count, ...] = ()
    limits: tuple[str, ...] = ()

    def estimand(self, outcome: Outcome) -> str:
        """What every estimate is of."""
        return outcome.estimand if self.model else _ESTIMAND
