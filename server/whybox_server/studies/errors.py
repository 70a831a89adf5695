"""What goes wrong with studies."""


class StudyError(Exception):
    """A study cannot be made, opened or answered so; the message says what is wrong and what to do."""
