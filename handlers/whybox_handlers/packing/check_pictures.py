"""The real pictures on which a model is checked, as its network gets them."""

from itertools import pairwise

from torch import Tensor

from whybox.v1.errors import PictureError
from whybox_handlers.models.spec import ModelSpec, SpecError
from whybox_handlers.pictures.decoding import decode, preprocess


def read_views(spec: ModelSpec) -> dict[str, Tensor]:
    """[3, crop, crop] in [0, 1] of each check picture, by its name.

    Raises:
        SpecError: A picture cannot be read, or no two of them are different.
    """
    folder = spec.check_pictures.root
    views = {}
    for path in spec.check_pictures.paths():
        name = str(path.relative_to(folder) if path.is_relative_to(folder) else path)
        try:
            views[name], _ = preprocess(decode(path.read_bytes()), spec.resize, spec.crop)
        except PictureError as error:
            raise SpecError(f"check_pictures.files: {path}: {error}") from error
    # The model-randomisation test asks whether a network tells pictures apart.
    if all(one.equal(other) for one, other in pairwise(views.values())):
        found = f"{', '.join(views)} show the same" if len(views) > 1 else f"{next(iter(views))} is the only one"
        raise SpecError(
            f"check_pictures.files: two or more different pictures are needed, and {found}; add another picture"
        )
    return views
