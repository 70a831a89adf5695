"""What can be asked of the prediction."""

from whybox import v1
from whybox_server.validation.kinds import Kind, integer
from whybox_server.validation.options import Option, PartOptions

_DEFAULT_TOP_K = 5


def _number_of_classes(model: v1.Model) -> Kind:
    return integer(1, model.num_classes)


class PredictionOptions(PartOptions):
    """Which classes, with which probability."""

    part = "prediction"
    options = (
        Option[v1.Model](
            "top_k",
            integer(),
            f"Number of classes to return, most probable first. Default: {_DEFAULT_TOP_K}, or all classes of a model "
            "that has fewer.",
            narrow=_number_of_classes,
            ranged=_number_of_classes,
            default=lambda model: min(_DEFAULT_TOP_K, model.num_classes),
        ),
    )
