"""Feature-based explanations: which parts of the picture spoke for a class.

One row of `EXPLAINERS` per method. To add one: write its module, add its row here, add its row to the table in
tests/handlers/test_explainers.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from whybox import v1
from whybox_handlers.classifier import Differentiable
from whybox_handlers.explainers.attribution import Attribution
from whybox_handlers.explainers.grad_cam import grad_cam
from whybox_handlers.explainers.integrated_gradients import integrated_gradients

__all__ = ["EXPLAINERS", "Attribution", "Explainer"]


@dataclass(frozen=True)
class Explainer:
    """A row of the registry.

    Attributes:
        attribute: Explains one picture: (network, [3, H, W] picture in [0, 1], target class, options with every default
            filled in) to an `Attribution`.
        summary: One sentence for people.
        reference: The paper that defines the method.
        options: Names and defaults of the options that it takes beyond those of all methods.
    """

    attribute: Callable[[Differentiable, Tensor, int, v1.ExplanationOptions], Attribution]
    summary: str
    reference: str
    options: Mapping[str, int] = field(default_factory=dict)


EXPLAINERS: Mapping[str, Explainer] = {
    "grad_cam": Explainer(
        grad_cam,
        "Where the last convolution saw evidence for the class: a coarse map of regions, quick, positive only.",
        "Selvaraju et al., Grad-CAM, ICCV 2017, arXiv:1610.02391",
    ),
    "integrated_gradients": Explainer(
        integrated_gradients,
        "How each pixel changed the class's logit on the way from a black picture; values add up to that change.",
        "Sundararajan et al., Axiomatic Attribution for Deep Networks, ICML 2017, arXiv:1703.01365",
        {"steps": 50},
    ),
}
