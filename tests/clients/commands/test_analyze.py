import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from clients.gateways import FakeGateway
from whybox import v1


def test_the_answer_can_be_read(run: Callable[..., Result]) -> None:
    result = run("analyze", "dog.png")
    assert result.exit_code == 0, result.output
    # Line breaks depend on the width of the terminal; the words do not.
    text = " ".join(result.stdout.split())
    for words in (
        "lite0 1.0",
        "golden retriever 75.0 %",
        "prediction set (aps, alpha 0.05), 2 classes: golden retriever 75.0 %, tabby 0.0 % If requests resemble data "
        "set pets, it is right. Explanations",
        "grad_cam: evidence for golden retriever; 1 gradient, 1 forward pass",
        "integrated_gradients: why golden retriever rather than tabby (and against it); completeness gap +0.250 of "
        "+10.00 logits; stopped by evaluations at residual 7.1 %; 50 gradients, 2 forward passes",
        "not reliable: deletion is no better than random; it does not survive 8 bits (deletion AUC 0.44 (random places "
        "0.40); infidelity 0.50 (random places 0.80); 8-bit noise: rank correlation 0.25, top overlap 50.0 %; 3 ",
        "12 of 60 superpixels (25 % of the view) suffice: golden retriever 75.0 %; no removal changes the answer",
        "linf: a change of 0.1 grey levels of 255 makes it tabby",
        "an upper bound found by fmn, 12 gradients, 7 forward passes; it does not survive rounding to 8 bits: in 8 "
        "bits a flip takes 2 grey levels of 255",
        "not reliable: the deadline ended the search percentile: it was trained on them "
        "also fools lite2: tabby 0.0 % instead of golden retriever 75.0 % "
        "lite3 could not be asked: the map went wrong",
        "grad_cam for golden retriever before and for tabby after the change: SSIM 0.50, top overlap 25.0 %, rank ",
        "1 of 2 corruptions changes the answer: gaussian_noise changes the answer from severity 3 on",
        "gaussian_noise noise · · x x x makes it tabby 0.0 % mirror geometry ·",
        "40 % of the class's audited pictures are easier to flip (95 % interval 31 to 50 %, n = 96)",
        "hardest to attack in audit audit-1: a (not flipped), c (2 grey levels of 255), d (2 grey levels of 255) and 2 "
        "more easiest to attack in audit audit-1: b (0.5 grey levels of 255)",
        "l2: no flip was found up to 0.5 (128 in grey levels); a smaller flip may still exist",
        "indoors = yes (adversarial criticism): flagged. Pictures annotated indoors",
        "easier to attack. Note by A. Reviewer, 2026-03-04: Seen; sensible.",
        "bias: not audited. No audit.",
        "the smoothed classifier (noise 0.05, 1000 samples, 99.9 % confidence) answers golden retriever within an L2 "
        "change of 0.124 (31.6 in grey levels); the certificate is not about the model itself",
        "explanations[2]: the map went wrong (INTERNAL)",
        "812 ms (prediction 20, bias 1 cached); request id ",
    ):
        assert words in text
    assert result.stderr == ""


def test_options_reach_the_request(run: Callable[..., Result], gateway: FakeGateway) -> None:
    arguments = (
        "--model lite2 --top-k 3 --set lac --set-alpha 0.2 --method grad_cam --method rise --target 4 --target tabby "
        "--contrast 7 --max-evaluations 9 --tolerance 0 --baseline blur --encoding float32 --encoding regions "
        "--quality deletion --quality stability --norm l2 --budget fast --attack ddn --picture change "
        "--picture adversarial --transfer "
        "--twin grad_cam --corruption noise --corruption fog --attribute indoors --sigma 0.5 --samples 200 "
        "--alpha 0.01 --seed 5 --view --timeout 9"
    )
    assert run("analyze", "dog.png", *arguments.split()).exit_code == 0
    [request] = gateway.requests
    common = v1.ExplanationOptions(
        contrast_class=7,
        max_evaluations=9,
        tolerance=0,
        baseline="blur",
        encodings=["float32", "regions"],
        quality=["deletion", "stability"],
    )
    maps = [
        v1.ExplanationOptions(method=method, **target)
        for method in ("grad_cam", "rise")
        for target in ({"target_class": 4}, {"target_label": "tabby"})
    ]
    for one in maps:
        one.MergeFrom(common)
    assert request == v1.AnalyzeRequest(
        model="lite2",
        image=request.image,
        prediction=v1.PredictionOptions(top_k=3, set_method="lac", set_alpha=0.2),
        explanations=maps,
        robustness=v1.RobustnessOptions(
            norms=["l2"],
            budget="fast",
            attack="ddn",
            encodings=["change", "adversarial"],
            transfer=True,
            twin="grad_cam",
            corruptions=["noise", "fog"],
        ),
        bias=v1.BiasOptions(attributes=["indoors"]),
        certified=v1.CertifiedOptions(sigma=0.5, samples=200, alpha=0.01),
        seed=5,
        view=True,
    )


def test_options_that_are_not_given_are_not_sent(run: Callable[..., Result], gateway: FakeGateway) -> None:
    assert run("analyze", "dog.png", "--contrast", "snow leopard", "--quality", "all").exit_code == 0
    [request] = gateway.requests
    options = v1.ExplanationOptions(
        method="grad_cam",
        contrast_label="snow leopard",
        quality=["deletion", "insertion", "infidelity", "sensitivity", "stability"],
    )
    assert request.explanations == [options]
    assert request.prediction == v1.PredictionOptions()
    assert request.robustness == v1.RobustnessOptions()


@pytest.mark.parametrize("name", ["dog.png", "./blur"])
def test_a_baseline_can_be_a_file(
    run: Callable[..., Result], gateway: FakeGateway, folder: Path, picture: bytes, name: str
) -> None:
    (folder / "blur").write_bytes(picture)
    assert run("analyze", "dog.png", "--baseline", name).exit_code == 0
    assert gateway.requests[0].explanations[0].baseline_image == picture


def test_bare_words_are_names_of_baselines(
    run: Callable[..., Result], gateway: FakeGateway, folder: Path, picture: bytes
) -> None:
    (folder / "blur").write_bytes(picture)
    assert run("analyze", "dog.png", "--baseline", "blur").exit_code == 0
    assert gateway.requests[0].explanations[0].baseline == "blur"


def test_parts_can_be_chosen(run: Callable[..., Result], gateway: FakeGateway) -> None:
    assert run("analyze", "dog.png", "--part", "prediction", "--part", "bias").exit_code == 0
    [request] = gateway.requests
    assert [field.name for field, _ in request.ListFields()] == ["model", "image", "prediction", "bias"]


def test_standard_input(run: Callable[..., Result], gateway: FakeGateway, picture: bytes, folder: Path) -> None:
    result = run("analyze", "-", "--save", "maps", input=picture)
    assert result.exit_code == 0, result.output
    assert gateway.requests[0].image == picture
    assert (folder / "maps/stdin.grad_cam.png").exists()


def test_json_is_all_of_standard_output(run: Callable[..., Result], answer: v1.AnalyzeResponse) -> None:
    result = run("analyze", "dog.png", "--json", "--save", "maps")
    body = json.loads(result.stdout)
    assert body["prediction"]["classes"][0]["label"] == "golden retriever"
    assert len(body["explanations"]) == len(answer.explanations)
    assert "wrote maps/dog.grad_cam.png" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("--part bias", {"bias"}),
        ("--part robustness --method rise", {"robustness", "explanations"}),
        ("--part bias --target 3", {"bias", "explanations"}),
        ("--part bias --transfer", {"bias", "robustness"}),
        ("--part bias --corruption all --top-k 1", {"bias", "robustness", "prediction"}),
        ("--part bias --sigma 1", {"bias", "certified"}),
        ("--part explanations --method rise", {"explanations"}),
    ],
)
def test_an_option_implies_its_part(
    run: Callable[..., Result], gateway: FakeGateway, arguments: str, parts: set[str]
) -> None:
    result = run("analyze", "dog.png", *arguments.split())
    assert result.exit_code == 0, result.output
    [request] = gateway.requests
    assert {field.name for field, _ in request.ListFields()} - {"model", "image"} == parts
