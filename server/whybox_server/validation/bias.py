"""What can be asked of bias flags."""

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox_server.validation.kinds import TEXT
from whybox_server.validation.options import Option, PartOptions

MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_LENGTH = 100


class BiasOptions(PartOptions):
    """What an audit found about the predicted class."""

    part = "bias"
    options = (
        Option[v1.Model](
            "attribute",
            TEXT,
            f"Annotated attribute to report on; at most {MAX_ATTRIBUTES}. Default: every audited attribute.",
            field="attributes",
            repeatable=True,
        ),
    )

    def fill(self, request: v1.AnalyzeRequest, model: v1.Model) -> None:
        """See `PartOptions.fill`."""
        attributes, field = request.bias.attributes, "bias.attributes"
        if len(attributes) > MAX_ATTRIBUTES:
            message = f"bias.attributes names {len(attributes)} attributes; name at most {MAX_ATTRIBUTES} in a request"
            raise InvalidRequestError(message, field=field)
        for attribute in attributes:
            if not 1 <= len(attribute) <= MAX_ATTRIBUTE_LENGTH:
                message = f"an attribute must have 1 to {MAX_ATTRIBUTE_LENGTH} characters, not {len(attribute)}"
                raise InvalidRequestError(message, field=field)
        super().fill(request, model)
