"""Feature-based explanations: the parts of the picture that speak for a class.

One row of `EXPLAINERS` per method. To add one: write its module, add its row here, add its row to the table in
tests/handlers/test_explainers.py.
"""

from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from whybox import v1
from whybox.v1.vocabulary import CHANNELS, NUMBERS
from whybox_handlers.explanations.explainers.attribution import Attribution, Question
from whybox_handlers.explanations.explainers.deep_lift import deep_lift
from whybox_handlers.explanations.explainers.grad_cam import grad_cam
from whybox_handlers.explanations.explainers.gradient_shap import gradient_shap
from whybox_handlers.explanations.explainers.guided_grad_cam import guided_grad_cam
from whybox_handlers.explanations.explainers.hires_cam import hires_cam
from whybox_handlers.explanations.explainers.input_x_gradient import input_x_gradient
from whybox_handlers.explanations.explainers.integrated_gradients import integrated_gradients
from whybox_handlers.explanations.explainers.kernel_shap import kernel_shap
from whybox_handlers.explanations.explainers.occlusion import occlusion
from whybox_handlers.explanations.explainers.rise import rise
from whybox_handlers.explanations.explainers.saliency import saliency
from whybox_handlers.explanations.explainers.smooth_grad import smooth_grad
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.passes.account import Passes

__all__ = ["EXPLAINERS", "Attribution", "Explainer", "Question"]


@dataclass(frozen=True)
class Explainer:
    """A row of the registry.

    Attributes:
        explain: Explains one picture; a coroutine that awaits nothing but passes.
        summary: One sentence for people.
        reference: The paper that defines the method.
        evaluations: The evaluations that it spends, "gradient" or "forward".
        default_evaluations: At most this number, unless the caller says otherwise; 0 for a method that always takes the
            same number.
        min_evaluations: The least number with which it works.
        randomisation_evaluations: The number for the randomisation test, if the usual few would make the map too coarse
            to compare; 0 for the usual number.
        default_tolerance: The residual that is good enough, unless the caller says otherwise; None for a method that
            watches no residual.
        default_baseline: Name of the baseline, unless the caller says otherwise; empty for a method that takes none.
        needs_maps: Whether it needs feature maps.
        off_by_default: Why a model offers it only if its spec says so; empty for methods that are always offered.
        values: What has a value in its map: each channel of each pixel, each pixel, or each cell of the feature maps.
    """

    explain: Callable[[Passes, Question], Coroutine[Any, Any, Attribution]]
    summary: str
    reference: str
    evaluations: Literal["gradient", "forward"] = "gradient"
    default_evaluations: int = 0
    min_evaluations: int = 1
    randomisation_evaluations: int = 0
    default_tolerance: float | None = None
    default_baseline: str = ""
    needs_maps: bool = False
    off_by_default: str = ""
    values: Literal["channels", "pixels", "cells"] = "channels"

    @property
    def options(self) -> tuple[str, ...]:
        """The options that it takes beyond those of all methods."""
        taken = {
            "baseline": bool(self.default_baseline),
            "max_evaluations": self.default_evaluations > 0,
            "tolerance": self.default_tolerance is not None,
        }
        return tuple(name for name, takes in taken.items() if takes)

    def defaults(self, name: str, **changes: Any) -> v1.ExplanationOptions:
        """The options of a request for this method with every default filled in, for work that passes no gateway.

        Args:
            name: Under which the method is registered.
            changes: Options that differ from the defaults, by their names in `ExplanationOptions`.
        """
        filled: dict[str, Any] = {"method": name, "encodings": NUMBERS[:1], "channels": CHANNELS[0]}
        if self.default_evaluations:
            filled["max_evaluations"] = self.default_evaluations
        if self.default_tolerance is not None:
            filled["tolerance"] = self.default_tolerance
        if self.default_baseline and "baseline_image" not in changes:
            filled["baseline"] = self.default_baseline
        return v1.ExplanationOptions(**(filled | changes))

    def unavailable_for(self, network: Differentiable, enabled: Collection[str], name: str) -> str:
        """Why a model does not offer it, and what to do instead; empty if it does.

        Args:
            network: The model's.
            enabled: Names of the methods that its spec switches on.
            name: Under which the method is registered.
        """
        if self.needs_maps and network.features is None:
            return f"{name} reads the last feature maps, and this network pools none; use integrated_gradients"
        return "" if name in enabled else self.off_by_default

    def map_shape(self, crop: int, cells: tuple[int, ...] | None) -> tuple[int, ...]:
        """The shape of its maps before channels are summed; empty if it cannot explain the network.

        Args:
            crop: Side of the network's view, pixels.
            cells: Height and width of the network's last feature maps; None for a network without them.
        """
        if self.needs_maps and cells is None:
            return ()
        return {"channels": (3, crop, crop), "pixels": (crop, crop), "cells": cells or ()}[self.values]


EXPLAINERS: Mapping[str, Explainer] = {
    "saliency": Explainer(
        saliency,
        "How steeply the class's logit depends on each pixel; quick and noisy.",
        "Simonyan et al., Deep Inside Convolutional Networks, 2013, arXiv:1312.6034",
    ),
    "grad_cam": Explainer(
        grad_cam,
        "A coarse map of the regions in which the last convolution saw evidence for the class; quick, positive only.",
        "Selvaraju et al., Grad-CAM, ICCV 2017, arXiv:1610.02391",
        needs_maps=True,
        values="cells",
    ),
    "hires_cam": Explainer(
        hires_cam,
        "Places in which the last convolution raised the class; unlike Grad-CAM, none that the head did not use.",
        "Draelos & Carin, Use HiResCAM instead of Grad-CAM for Faithful Explanations, 2020, arXiv:2011.08891",
        needs_maps=True,
        values="cells",
    ),
    "guided_grad_cam": Explainer(
        guided_grad_cam,
        "Grad-CAM's regions in the detail of guided backpropagation: handsome edges, little faithfulness.",
        "Selvaraju et al., Grad-CAM, ICCV 2017, arXiv:1610.02391",
        needs_maps=True,
        off_by_default="it fails the model-randomisation test (Adebayo et al., 2018, arXiv:1810.03292): its edges stay "
        "where the network has learnt nothing; use grad_cam or integrated_gradients, or write `methods: {enable: "
        "[guided_grad_cam]}` into the model's spec and pack it again",
    ),
    "deep_lift": Explainer(
        deep_lift,
        "What each pixel's difference from the baseline did to the class's logit: values add up to the change, for the "
        "price of one pass.",
        "Shrikumar et al., Learning Important Features Through Propagating Activation Differences, ICML 2017, "
        "arXiv:1704.02685",
        default_baseline="black",
    ),
    "integrated_gradients": Explainer(
        integrated_gradients,
        "How each pixel changed the class's logit on the way from the baseline; values add up to that change.",
        "Sundararajan et al., Axiomatic Attribution for Deep Networks, ICML 2017, arXiv:1703.01365",
        default_evaluations=24,
        min_evaluations=4,
        default_tolerance=0.03,
        default_baseline="black",
    ),
    "gradient_shap": Explainer(
        gradient_shap,
        "Integrated gradients, estimated by random sampling over several baselines; values nearly add up.",
        "Lundberg & Lee, A Unified Approach to Interpreting Model Predictions, NeurIPS 2017, arXiv:1705.07874",
        default_evaluations=32,
        min_evaluations=4,
        default_tolerance=0.3,
        default_baseline="mean",
    ),
    "input_x_gradient": Explainer(
        input_x_gradient,
        "Each pixel times the steepness of the class's logit there; quick, noisy, and blind to black pixels.",
        "Shrikumar et al., Not Just a Black Box, 2016, arXiv:1605.01713",
    ),
    "smooth_grad": Explainer(
        smooth_grad,
        "Saliency with sign, averaged over noisy copies of the picture, which calms it.",
        "Smilkov et al., SmoothGrad: removing noise by adding noise, 2017, arXiv:1706.03825",
        default_evaluations=32,
        min_evaluations=4,
        default_tolerance=0.5,
    ),
    "occlusion": Explainer(
        occlusion,
        "How far the class's logit falls when a window hides part of the picture; coarse and easy to understand.",
        "Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, 2013, arXiv:1311.2901",
        evaluations="forward",
        default_evaluations=169,
        min_evaluations=16,
        default_baseline="grey",
        values="pixels",
    ),
    "rise": Explainer(
        rise,
        "Which pixels make the class's logit higher when they stay while others are masked at random.",
        "Petsiuk et al., RISE, BMVC 2018, arXiv:1806.07421",
        evaluations="forward",
        default_evaluations=2000,
        min_evaluations=128,
        default_tolerance=0.2,
        default_baseline="black",
        values="pixels",
    ),
    "kernel_shap": Explainer(
        kernel_shap,
        "Each superpixel's fair share (Shapley value) of the class's logit; values add up.",
        "Lundberg & Lee, A Unified Approach to Interpreting Model Predictions, NeurIPS 2017, arXiv:1705.07874",
        evaluations="forward",
        default_evaluations=1000,
        min_evaluations=64,
        # For 25 superpixels.
        randomisation_evaluations=1000,
        default_tolerance=0.15,
        default_baseline="black",
        values="pixels",
    ),
}
