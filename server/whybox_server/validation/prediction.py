"""What can be asked of the prediction."""

from whybox import v1
from whybox_server.validation.kinds import integer
from whybox_server.validation.options import Option, PartOptions

_DEFAULT_TOP_K = 5


class PredictionOptions(PartOptions):
    """Which classes, with which probability."""

    part = "prediction"
    options = (
        Option[v1.Model](
            "top_k",
            integer(),
            f"Number of classes to return, most probable first. Default: {_DEFAULT_TOP_K}, or all classes of a model "
            "that has fewer.",
            narrow=lambda model: integer(1, model.num_classes),
            default=lambda model: min(_DEFAULT_TOP_K, model.num_classes),
        ),
    )
