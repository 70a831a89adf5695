"""What can be asked of the prediction."""

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox.v1.vocabulary import DEFAULT_SET_ALPHA, MAX_SET_ALPHA, SET_METHODS
from whybox_server.validation.kinds import Kind, integer, name_of, number
from whybox_server.validation.options import Option, PartOptions

DEFAULT_TOP_K = 5
"""Number of classes of a prediction that names none, if the model has as many."""


def _number_of_classes(model: v1.Model) -> Kind:
    return integer(1, model.num_classes)


class PredictionOptions(PartOptions):
    """Which classes, with which probability, and the set of those that may be right."""

    part = "prediction"
    options = (
        Option[v1.Model](
            "top_k",
            integer(),
            f"Number of classes to return, most probable first. Default: {DEFAULT_TOP_K}, or all classes of a model "
            "that has fewer.",
            narrow=_number_of_classes,
            ranged=_number_of_classes,
            default=lambda model: min(DEFAULT_TOP_K, model.num_classes),
        ),
        Option[v1.Model](
            "set_method",
            name_of(SET_METHODS),
            "Return a prediction set: the classes that may be right, by the method aps (sets grow with how unsure the "
            "model is) or lac (the smallest sets on average). Default: no set.",
        ),
        Option[v1.Model](
            "set_alpha",
            number(above=0, high=MAX_SET_ALPHA),
            "Share of requests whose right class the prediction set may miss; set_method must be given too. Default: "
            f"{DEFAULT_SET_ALPHA}.",
        ),
    )

    def fill(self, request: v1.AnalyzeRequest, model: v1.Model) -> None:
        """See `PartOptions.fill`."""
        asked = request.prediction
        if asked.set_method and not asked.HasField("set_alpha"):
            asked.set_alpha = DEFAULT_SET_ALPHA
        super().fill(request, model)
        if asked.HasField("set_alpha") and not asked.set_method:
            message = (
                "prediction.set_alpha is the level of a prediction set; choose its method with prediction.set_method: "
                f"{' or '.join(SET_METHODS)}"
            )
            raise InvalidRequestError(message, field="prediction.set_alpha")
