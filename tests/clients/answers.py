"""An answer of the server with everything that the contract knows, and the pictures in it."""

import io
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from whybox import v1
from whybox.v1.errors import InternalError


def png(pixels: NDArray[Any]) -> bytes:
    """The pixels as an encoded picture."""
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format="PNG")
    return encoded.getvalue()


def jpeg(size: tuple[int, int]) -> bytes:
    """A red picture of that size."""
    encoded = io.BytesIO()
    Image.new("RGB", size, (200, 0, 0)).save(encoded, format="JPEG")
    return encoded.getvalue()


def rotated_jpeg() -> bytes:
    """Upright 40 wide, 20 high, with its left half white; stored lying on its side with the EXIF tag that says so."""
    upright = Image.new("L", (40, 20))
    upright.paste(255, (0, 0, 20, 20))
    encoded, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(encoded, format="JPEG", exif=exif, quality=95)
    return encoded.getvalue()


def whole_answer() -> v1.AnalyzeResponse:
    """Every part: two maps, the second with all extras, a failed third; each optional field once set, once absent."""
    view = v1.View(picture_width=64, picture_height=48, left=10.5, top=2.5, width=43, height=43)
    dog = v1.ClassScore(index=207, label="golden retriever", probability=0.75)
    cat = v1.ClassScore(index=281, label="tabby")
    cells = np.arange(49, dtype="<f4").reshape(7, 7)
    deflated = zlib.compress(bytes(range(12)))
    bytes_map = v1.Tensor(shape=[3, 2, 2], dtype="uint8", data=deflated, scale=0.5, offset=-2, compression="deflate")
    inside = np.zeros((12, 12), np.uint8)
    inside[6:, :6] = 1
    failed = InternalError("the map went wrong")
    twin_map = v1.Explanation(
        method="grad_cam",
        target_class=207,
        target_label="golden retriever",
        attribution=v1.Tensor(shape=[7, 7], dtype="float32", data=cells.tobytes()),
        view=view,
    )
    other_twin_map = v1.Explanation(
        method="grad_cam", target_class=281, target_label="tabby", attribution=twin_map.attribution
    )
    return v1.AnalyzeResponse(
        request_id="overwritten",
        model="lite0",
        version="1.0",
        prediction=v1.Prediction(
            classes=[dog, cat],
            view=view,
            prediction_set=v1.PredictionSet(
                state="ok",
                method="aps",
                alpha=0.05,
                classes=[dog, cat],
                n=250,
                data_set="pets",
                audit_id="audit-1",
                coverage=0.94,
                ci_low=0.9,
                ci_high=0.97,
                coverage_n=200,
                threshold=0.875,
                message="If requests resemble data set pets, it is right.",
            ),
        ),
        explanations=[
            v1.Explanation(
                index=0,
                method="grad_cam",
                target_class=207,
                target_label="golden retriever",
                attribution=v1.Tensor(shape=[7, 7], dtype="float32", data=cells.tobytes()),
                units="relative",
                target_logit=9.5,
                stopped_by="done",
                forward_evaluations=1,
                gradient_evaluations=1,
                view=view,
            ),
            v1.Explanation(
                index=1,
                method="integrated_gradients",
                target_class=207,
                target_label="golden retriever",
                contrast_class=281,
                contrast_label="tabby",
                attribution=bytes_map,
                heat_map=png(np.full((12, 12, 3), 200, np.uint8)),
                overlay=png(np.full((12, 12, 3), 100, np.uint8)),
                regions=v1.Regions(
                    sufficient=v1.Region(
                        state="found",
                        mask=png(255 * inside),
                        segments=12,
                        area=0.25,
                        left=0,
                        top=6,
                        width=6,
                        height=6,
                        target=dog,
                        predicted=dog,
                        box_probability=0.8,
                    ),
                    necessary=v1.Region(state="not_found"),
                    segments=60,
                    baseline="blur",
                    forward_evaluations=90,
                ),
                units="logit",
                signed=True,
                baseline="black",
                target_logit=9.5,
                baseline_logit=-0.5,
                convergence_delta=0.25,
                stopped_by="evaluations",
                residual=0.071,
                forward_evaluations=2,
                gradient_evaluations=50,
                quality=v1.Quality(
                    reasons=["deletion is no better than random", "it does not survive 8 bits"],
                    deletion=v1.Curve(fractions=[0, 0.5, 1], probabilities=[0.75, 0.5, 0], auc=0.4375, random_auc=0.4),
                    infidelity=0.5,
                    uniform_infidelity=0.6,
                    random_infidelity=0.8,
                    stability=v1.Stability(rank_correlation=0.25, top_overlap=0.5),
                    forward_evaluations=40,
                    gradient_evaluations=3,
                ),
                view=view,
            ),
            v1.Explanation(index=2, method="occlusion", status=failed.to_status()),
            v1.Explanation(
                index=3,
                method="example",
                target_class=207,
                target_label="golden retriever",
                target_logit=9.5,
                stopped_by="done",
                forward_evaluations=1,
                view=view,
                examples=v1.Examples(
                    prototypes=[
                        v1.Neighbour(
                            id="a.jpg",
                            sha256="cd",
                            similarity=0.91,
                            class_index=207,
                            class_label="golden retriever",
                            predicted=dog,
                            agrees=True,
                            distance=0.5 / 255,
                            thumbnail=jpeg((144, 96)),
                        )
                    ]
                    * 3,
                    others=[
                        v1.Neighbour(
                            id="b.jpg", similarity=0.5, class_index=281, class_label="tabby", predicted=dog, agrees=True
                        )
                    ],
                    agreement=0.4,
                    nearest=10,
                    pictures=1500,
                    audit_id="audit-1",
                    norm="linf",
                ),
                observations=[
                    v1.Observation(
                        kind="neighbours_disagree",
                        state="noted",
                        message="6 of the 10 nearest pictures have other labels",
                        value=0.6,
                        threshold=0.5,
                        n=10,
                        audit_id="audit-1",
                    ),
                    v1.Observation(kind="label_ambiguous", state="not_measured", message="there are too few pictures"),
                ],
            ),
        ],
        robustness=v1.Robustness(
            distances=[
                v1.Distance(
                    norm="linf",
                    attack="fmn",
                    state="found",
                    distance=0.1 / 255,
                    unflipped_distance=0.099 / 255,
                    distance_at_half_budget=0.2 / 255,
                    predicted_class=dog,
                    adversarial_class=cat,
                    gradient_evaluations=12,
                    forward_evaluations=7,
                    searched_radius=0.5,
                    percentile=40.0,
                    percentile_n=96,
                    percentile_ci_low=30.75,
                    percentile_ci_high=50.0,
                    percentile_note="it was trained on them",
                    observations=[
                        v1.Observation(
                            kind="criticism_like",
                            state="not_noted",
                            message="it does not flip as easily as one in ten",
                            value=0.1 / 255,
                            threshold=0.05 / 255,
                            n=96,
                            audit_id="audit-1",
                        )
                    ],
                    survives_8bit=False,
                    runner_up_class=cat,
                    stopped_by="evaluations",
                    distance_8bit=2 / 255,
                    adversarial_picture=png(np.full((12, 12, 3), 150, np.uint8)),
                    change_picture=png(np.full((12, 12, 3), 128, np.uint8)),
                    transfers=[
                        v1.Transfer(
                            model="lite2", version="1.0", predicted_class=dog, adversarial_class=cat, fooled=True
                        ),
                        v1.Transfer(model="lite3", version="1.0", status=failed.to_status()),
                    ],
                    twin=v1.Twin(
                        before=twin_map,
                        after=other_twin_map,
                        same_class=v1.MapSimilarity(ssim=0.9, top_overlap=0.75, rank_correlation=0.95),
                        new_class=v1.MapSimilarity(ssim=0.5, top_overlap=0.25, rank_correlation=-0.1),
                    ),
                    reasons=["the deadline ended the search"],
                ),
                v1.Distance(norm="l2", attack="fmn", state="not_found", predicted_class=dog, searched_radius=0.5),
            ],
            view=view,
            corruptions=[
                v1.Corruption(
                    name="gaussian_noise",
                    group="noise",
                    levels=[
                        v1.CorruptionLevel(severity=severity, predicted_class=cat if flips else dog, flips=flips)
                        for severity, flips in ((1, False), (2, False), (3, True), (4, True), (5, True))
                    ],
                    first_flip=3,
                ),
                v1.Corruption(
                    name="mirror", group="geometry", levels=[v1.CorruptionLevel(severity=1, predicted_class=dog)]
                ),
            ],
        ),
        bias=v1.Bias(
            flags=[
                v1.BiasFlag(
                    kind="adversarial_criticism",
                    state="flagged",
                    attribute="indoors",
                    class_index=207,
                    class_label="golden retriever",
                    effect=-0.4,
                    ci_low=-0.6,
                    ci_high=-0.2,
                    n=120,
                    q_value=0.01,
                    minimum_detectable_effect=0.1,
                    audit_id="audit-1",
                    message="Pictures annotated indoors are easier to attack.",
                    unit="Cliff's delta of the distances",
                    value="yes",
                    n_with=40,
                    n_without=80,
                    norm="linf",
                    p_value=0.005,
                    p_value_method="stratified rank test, asymptotic",
                    unselected_effect=-0.5,
                    unselected_ci_low=-0.7,
                    unselected_ci_high=-0.3,
                    accuracy_with=0.5,
                    accuracy_without=0.75,
                    split_half_agreement=99,
                    confirmation_p_value=0.03,
                    confounders=["wide"],
                    adjusted_effect=-0.35,
                    adjusted_ci_low=-0.55,
                    adjusted_ci_high=-0.15,
                    repeats=[
                        v1.Repeat(
                            what="norm l2",
                            effect=-0.3,
                            ci_low=-0.5,
                            ci_high=-0.05,
                            n_with=40,
                            n_without=80,
                            beyond_threshold=False,
                        )
                    ],
                    reasons=["none"],
                    id="0123456789ab",
                    notes=[v1.Note(text="Seen; sensible.", name="A. Reviewer", date="2026-03-04")],
                    counterfactual=v1.CounterfactualCheck(
                        state="checked",
                        reason="none",
                        removal="blur",
                        pictures=30,
                        regions=5,
                        outside=2,
                        without_room=1,
                        overlapping=3,
                        shifts=[
                            v1.Shift(
                                what="margin",
                                unit="logits",
                                n=30,
                                box=-1.5,
                                random=-0.5,
                                difference=-1.0,
                                ci_low=-1.5,
                                ci_high=-0.75,
                            )
                        ],
                        message="Blurring the boxes lowers the margin more.",
                    ),
                ),
                v1.BiasFlag(kind="adversarial_criticism", state="not_audited", message="No audit."),
            ],
            prototypes=[v1.Example(id="a"), *(v1.Example(id=name, distance=2 / 255) for name in "cdef")],
            criticisms=[v1.Example(id="b", distance=0.5 / 255)],
            audit_id="audit-1",
            norm="linf",
            predicted_class=dog,
        ),
        certified=v1.Certified(
            state="certified",
            class_index=207,
            class_label="golden retriever",
            radius=0.124,
            probability_lower_bound=0.993,
            sigma=0.05,
            alpha=0.001,
            samples=1000,
            wanted_samples=1000,
            count=1000,
        ),
        timings=v1.Timings(
            total_ms=812.5,
            parts=[
                v1.PartTiming(part="prediction", total_ms=20, compute_ms=12),
                v1.PartTiming(part="bias", total_ms=1, cached=True),
            ],
        ),
        receipt=v1.Receipt(weights_sha256="ab", parameters="{}", seed=3, runtime={"torch": "2.14.1", "device": "cpu"}),
    )
