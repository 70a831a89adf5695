"""Example-based explanations: known pictures that look most alike to the network (Papernot & McDaniel, 1803.04765)."""

from whybox.v1 import errors
from whybox_handlers.explanations.explainers.attribution import Attribution, Question
from whybox_handlers.passes.account import Passes

NO_BANK = (
    "example shows the nearest pictures of a reference bank, and models are packed without one yet; "
    "use kernel_shap or integrated_gradients, which need none"
)


async def example(_passes: Passes, _question: Question) -> Attribution:
    """The reference pictures whose features are nearest to the picture's.

    Raises:
        FailedPreconditionError: Always: there is no reference bank.
    """
    raise errors.FailedPreconditionError(NO_BANK)
