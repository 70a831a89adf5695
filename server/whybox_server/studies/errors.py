"""What can go wrong with a study. Every message says what is wrong and what to do."""


class StudyError(Exception):
    """A study, a person or an answer is not as it should be; the message names the fault and the remedy."""


class StudyNotFoundError(StudyError):
    """There is no study of this name."""


class StudyClosedError(StudyError):
    """The study is closed and takes no more answers."""


class StudyChangedError(StudyError):
    """Protocol or files differ from those with which the study opened."""


class InvitationError(StudyError):
    """An invitation is forged, of another study, expired, or of a person who withdrew."""


class AnnotatorNotFoundError(StudyError):
    """There is no person of this name in the study, or the person withdrew."""


class NoConsentError(StudyError):
    """The person has not agreed to take part."""


class AnswerError(StudyError):
    """The answer is not among those offered, or its picture was not asked about or has its answer already."""


class LeaseExpiredError(StudyError):
    """The answer came late, and others answered in the meantime; another picture is asked about."""


class UnfinishedError(StudyError):
    """The person has questions left."""
