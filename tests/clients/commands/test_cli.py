import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from whybox import v1
from whybox.cli import app


@pytest.fixture
def folder(tmp_path: Path, picture: bytes) -> Path:
    (tmp_path / "dog.png").write_bytes(picture)
    return tmp_path


@pytest.fixture
def run(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("WHYBOX_URL", url)

    def run(*arguments: str, **options) -> Result:
        return CliRunner().invoke(app, arguments, **options)

    return run


def test_the_answer_can_be_read(run) -> None:
    result = run("analyze", "dog.png")
    assert result.exit_code == 0, result.output
    # Whatever the width, the words are there.
    text = " ".join(result.stdout.split())
    for words in (
        "lite0 1.0",
        "golden retriever 75.0 %",
        "grad_cam: evidence for golden retriever; 1 gradient, 1 forward pass",
        "integrated_gradients: why golden retriever rather than tabby (and against it); completeness gap +0.250 of "
        "+10.00 logits; stopped by evaluations at residual 7.1 %; 50 gradients, 2 forward passes",
        "not reliable: deletion is no better than random; it does not survive 8 bits (deletion AUC 0.44 (random places "
        "0.40); infidelity 0.50 (random places 0.80); 8-bit noise: rank correlation 0.25, top overlap 50.0 %; 3 ",
        "12 of 60 superpixels (25 % of the view) suffice: golden retriever 75.0 %; no removal changes the answer",
        "linf: a change of 0.1 grey levels of 255 makes it tabby",
        "an upper bound found by fmn, 12 gradients, 7 forward passes; it does not survive rounding to 8 bits: in 8 "
        "bits a flip takes 2 grey levels of 255",
        "not reliable: the deadline ended the search also fools lite2: tabby 0.0 % instead of golden retriever 75.0 % "
        "lite3 could not be asked: The map went wrong.",
        "grad_cam for golden retriever before and for tabby after the change: SSIM 0.50, top overlap 25.0 %, rank ",
        "1 of 2 corruptions changes the answer: gaussian_noise changes the answer from severity 3 on",
        "gaussian_noise noise · · x x x makes it tabby 0.0 % mirror geometry ·",
        "40 % of the class's reference pictures are easier to flip",
        "l2: no flip was found up to 0.5 (128 in grey levels); a smaller flip may still exist",
        "indoors: flagged, effect +0.40 [+0.20, +0.60], n = 120, q = 0.01. Pictures annotated indoors",
        "bias: not audited. No audit.",
        "the smoothed classifier (noise 0.05, 1000 samples, 99.9 % confidence) answers golden retriever within an L2 "
        "change of 0.124 (31.6 in grey levels); the certificate is not about the model itself",
        "explanations[2]: The map went wrong. (INTERNAL)",
        "812 ms (prediction 20); request id ",
    ):
        assert words in text
    assert result.stderr == ""


def test_options_reach_the_request(run, gateway) -> None:
    arguments = (
        "--model lite2 --top-k 3 --method grad_cam --method rise --target 4 --target tabby --contrast 7 "
        "--max-evaluations 9 --tolerance 0 --baseline blur --encoding float32 --encoding regions --quality deletion "
        "--quality stability --norm l2 --budget fast --attack ddn --picture change --picture adversarial --transfer "
        "--twin grad_cam --corruption noise --corruption fog --attribute indoors --sigma 0.5 --samples 200 "
        "--alpha 0.01 --seed 5 --timeout 9"
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
        prediction=v1.PredictionOptions(top_k=3),
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
    )


def test_options_that_are_not_given_are_not_sent(run, gateway) -> None:
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
def test_a_baseline_can_be_a_file(run, gateway, folder: Path, picture: bytes, name: str) -> None:
    (folder / "blur").write_bytes(picture)
    assert run("analyze", "dog.png", "--baseline", name).exit_code == 0
    assert gateway.requests[0].explanations[0].baseline_image == picture


def test_bare_words_are_names_of_baselines(run, gateway, folder: Path, picture: bytes) -> None:
    (folder / "blur").write_bytes(picture)
    assert run("analyze", "dog.png", "--baseline", "blur").exit_code == 0
    assert gateway.requests[0].explanations[0].baseline == "blur"


def test_parts_can_be_chosen(run, gateway) -> None:
    assert run("analyze", "dog.png", "--part", "prediction", "--part", "bias").exit_code == 0
    [request] = gateway.requests
    assert [field.name for field, _ in request.ListFields()] == ["model", "image", "prediction", "bias"]


def test_standard_input(run, gateway, picture: bytes, folder: Path) -> None:
    result = run("analyze", "-", "--save", "maps", input=picture)
    assert result.exit_code == 0, result.output
    assert gateway.requests[0].image == picture
    assert (folder / "maps/stdin.grad_cam.png").exists()


def test_maps_are_saved_and_named(run, folder: Path) -> None:
    result = run("analyze", "dog.png", "--save", "deep/maps")
    names = [
        "dog.grad_cam.png",
        "dog.integrated_gradients.png",
        "dog.integrated_gradients.heat_map.png",
        "dog.integrated_gradients.overlay.png",
        "dog.integrated_gradients.sufficient.png",
        "dog.robustness.linf.adversarial.png",
        "dog.robustness.linf.change.png",
        "dog.robustness.linf.before.png",
        "dog.robustness.linf.after.png",
        "dog.sheet.png",
    ]
    assert [line for line in result.stdout.splitlines() if line.startswith("wrote")] == [
        f"wrote deep/maps/{name}" for name in names
    ]
    with Image.open(folder / "deep/maps" / names[0]) as overlay:
        assert overlay.size == (43, 43)

    assert sorted(path.name for path in (folder / "deep/maps").iterdir()) == sorted(names)


def test_the_servers_drawings_are_saved_as_they_came(run, answer: v1.AnalyzeResponse, folder: Path) -> None:
    answer.explanations[1].ClearField("attribution")
    assert run("analyze", "dog.png", "--save", "maps").exit_code == 0
    maps = folder / "maps"
    assert not (maps / "dog.integrated_gradients.png").exists()
    for kind in ("heat_map", "overlay"):
        saved = (maps / f"dog.integrated_gradients.{kind}.png").read_bytes()
        assert saved == getattr(answer.explanations[1], kind)


def test_maps_of_one_method_have_their_own_names(run, answer: v1.AnalyzeResponse, folder: Path) -> None:
    answer.explanations.add().CopyFrom(answer.explanations[0])
    answer.explanations[-1].target_class = 281
    assert run("analyze", "dog.png", "--save", "maps").exit_code == 0
    assert sorted(path.name for path in (folder / "maps").glob("dog.grad_cam*")) == [
        "dog.grad_cam.207.png",
        "dog.grad_cam.281.png",
    ]


def test_json_is_all_of_standard_output(run, answer: v1.AnalyzeResponse) -> None:
    result = run("analyze", "dog.png", "--json", "--save", "maps")
    body = json.loads(result.stdout)
    assert body["prediction"]["classes"][0]["label"] == "golden retriever"
    assert len(body["explanations"]) == len(answer.explanations)
    assert "wrote maps/dog.grad_cam.png" in result.stderr


def test_models(run, gateway) -> None:
    options = {"options": ["baseline", "max_evaluations", "tolerance"], "default_evaluations": 4000}
    methods = [
        v1.Method(
            name="rise",
            summary="Masks.",
            evaluations="forward",
            default_tolerance=0.1,
            randomisation_test=v1.RandomisationTest(passed=True, similarity=0.1, threshold=0.5, pictures=8),
            **options,
        ),
        v1.Method(
            name="guided_backprop",
            summary="Gradients.",
            randomisation_test=v1.RandomisationTest(similarity=0.9, threshold=0.5, pictures=8),
        ),
        v1.Method(name="attention_rollout", summary="Heads.", unavailable="it has no attention; use grad_cam"),
    ]
    robust = {
        "attacks": [
            v1.Attack(name="fmn", summary="Steps.", norms=["linf", "l2"], evaluations="gradient"),
            v1.Attack(name="square", summary="Squares.", norms=["linf"], evaluations="forward"),
        ],
        "default_attack": "square",
        "attack_check": v1.AttackCheck(reasons=["it is random"], pictures=20, attacked=4, black_box_better_share=0.5),
        "corruptions": [
            v1.CorruptionKind(name=name, group=group)
            for name, group in (("gaussian_noise", "noise"), ("shot_noise", "noise"), ("fog", "weather"))
        ],
    }
    gateway.models[0].MergeFrom(
        v1.Model(title="Lite [bold]0", num_classes=1000, norms=["linf"], methods=methods, **robust)
    )
    result = run("models")
    assert result.exit_code == 0
    assert "lite0 1.0  Lite [bold]0" in result.stdout
    assert "1000 classes; norms: linf" in result.stdout
    text = " ".join(result.stdout.split())
    for words in (
        "rise Masks. up to 4000 forward evaluations, tolerance 10.0 % passed the randomisation test (similarity 0.10, ",
        "guided_backprop Gradients. failed the randomisation test: its maps stay similar when weights are randomised (",
        "attention_rollout not for this model: it has no attention; use grad_cam Attacks fmn Steps. linf, l2; gradient "
        "evaluations square Squares. linf; forward evaluations; the default gradient-based attacks cannot be trusted: "
        "it is random (20 pictures, 4 of them attacked; a gradient-free attack did much better on 50.0 %) "
        "Corruptions noise gaussian_noise, shot_noise weather fog lite2 1.0",
    ):
        assert words in text


def one_line(result: Result) -> str:
    [line] = result.stderr.splitlines()
    assert "Traceback" not in result.output
    return line


def test_errors_are_one_line(run, gateway, overloaded) -> None:
    gateway.error = overloaded
    result = run("analyze", "dog.png")
    assert result.exit_code == 1
    assert result.stdout == ""
    line = one_line(result)
    assert line.startswith("Error: the queue is full [QUEUE_FULL] (Request id: ")
    assert gateway.request_ids[0] in line


def test_nobody_there(run, unused_address: str) -> None:
    result = run("models", "--url", f"http://{unused_address}")
    assert result.exit_code == 1
    assert f"no Whybox server answers at http://{unused_address}" in one_line(result)


def test_a_folder_that_cannot_be_written(run, folder: Path) -> None:
    (folder / "file").touch()
    result = run("analyze", "dog.png", "--save", "file/maps")
    assert result.exit_code == 1
    assert "file/maps" in one_line(result)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("analyze", "Missing argument"),
        ("analyze nothing.png", "nothing.png is no file"),
        ("analyze dog.png --url ftp://x", "url must be grpc://host:port"),
        ("analyze dog.png --part mood", "parts must be some of"),
        ("analyze dog.png --top-k 0", "top-k"),
        ("analyze dog.png --seed -1", "seed"),
        ("analyze dog.png --timeout 0", "timeout"),
        ("analyze dog.png --colour", "No such option"),
        ("analyze dog.png --max-evaluations 0", "max-evaluations"),
        ("analyze dog.png --tolerance -1", "tolerance"),
        ("analyze dog.png --baseline nothing.png", "nothing.png is no file"),
        ("analyze dog.png --part bias --target 3", "target is for explanations"),
        ("analyze dog.png --part bias --transfer", "transfer is for robustness"),
        ("analyze dog.png --part bias --corruption all", "corruptions is for robustness"),
        ("analyze dog.png --steps 9", "No such option"),
        ("analyze dog.png --part certified", "certified needs sigma"),
        ("analyze dog.png --samples 100", "certified needs sigma"),
        ("analyze dog.png --part bias --sigma 1", "sigma is for certified"),
        ("certify dog.png", "Missing option '--sigma'"),
        ("certify nothing.png --sigma 1", "nothing.png is no file"),
        ("certify dog.png --sigma little", "sigma"),
        ("certify dog.png --sigma 1 --samples few", "samples"),
        ("certify dog.png --sigma 1 --samples 2147483648", "out of range"),
    ],
)
def test_wrong_usage(run, gateway, arguments: str, words: str) -> None:
    result = run(*arguments.split())
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [("--help", "models"), ("analyze --help", "--contrast pointer"), ("certify --help", "trades reach for accuracy")],
)
def test_help_teaches(arguments: str, words: str) -> None:
    result = CliRunner().invoke(app, arguments.split())
    assert result.exit_code == 0
    assert words in result.stdout
