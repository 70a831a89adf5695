"""What callers say about the file of an audit that they want."""

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox.v1.vocabulary import AUDIT_FORMATS
from whybox_server.validation.kinds import name_of
from whybox_server.validation.options import Option

FORMAT: Option[v1.Model] = Option(
    "format",
    name_of(AUDIT_FORMATS),
    "Which file of the audit: its manifest with all findings (json), or its page for people (html). Default: what"
    " Accept prefers, json if it has no preference.",
)


def audit_format(name: str) -> str:
    """The format that a message names, the default if it names none.

    Raises:
        InvalidRequestError: There is no such format.
    """
    try:
        asked: str = FORMAT.kind.read(name or next(iter(AUDIT_FORMATS)))
    except ValueError as error:
        raise InvalidRequestError(f"{FORMAT.name} {error}", field=FORMAT.name) from None
    return asked
