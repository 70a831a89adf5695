from collections.abc import Callable

from typer.testing import Result

from clients.gateways import FakeGateway
from whybox import v1


def test_models(run: Callable[..., Result], gateway: FakeGateway) -> None:
    methods = [
        v1.Method(
            name="rise",
            summary="Masks.",
            evaluations="forward",
            default_tolerance=0.1,
            randomisation_test=v1.RandomisationTest(
                passed=True, similarity=0.1, threshold=0.5, pictures=2, evaluations=128
            ),
            options=["baseline", "max_evaluations", "tolerance"],
            default_evaluations=4000,
        ),
        v1.Method(
            name="guided_backprop",
            summary="Gradients.",
            randomisation_test=v1.RandomisationTest(similarity=0.9, threshold=0.5, pictures=8),
        ),
        v1.Method(name="attention_rollout", summary="Heads.", unavailable="it has no attention; use grad_cam"),
    ]
    lite0 = v1.Model(
        title="Lite [bold]0",
        num_classes=1000,
        norms=["linf"],
        batch_sizes=v1.BatchSizes(forward=4, occluded=3, gradient=1),
        audit=v1.Audit(
            id="audit-1",
            data_set="chairs",
            pictures=424,
            classes=2,
            attributes=["wheelchair", "wide"],
            attack="fmn",
            budget=6,
            norms=["linf", "l2"],
            trained_on=7,
            version="0.9",
            differences=["weights", "preprocessing"],
            calibration=v1.Calibration(state="ok", data_set="pets", n=250, coverage_n=200, methods=["aps", "lac"]),
        ),
        methods=methods,
        attacks=[
            v1.Attack(name="fmn", summary="Steps.", norms=["linf", "l2"], evaluations="gradient"),
            v1.Attack(name="square", summary="Squares.", norms=["linf"], evaluations="forward"),
        ],
        default_attack="square",
        attack_check=v1.AttackCheck(
            reasons=["it is random"],
            pictures=20,
            attacked=4,
            black_box_better_share=0.5,
            gradient_evaluations=10,
            forward_evaluations=150,
        ),
        corruptions=[
            v1.CorruptionKind(name=name, group=group)
            for name, group in (("gaussian_noise", "noise"), ("shot_noise", "noise"), ("fog", "weather"))
        ],
    )
    gateway.models[0].MergeFrom(lite0)
    result = run("models")
    assert result.exit_code == 0
    assert "lite0 1.0  Lite [bold]0" in result.stdout
    assert "1000 classes; norms: linf" in result.stdout
    assert "pictures that may share a pass: forward 4, occluded 3, gradient 1" in result.stdout
    text = " ".join(result.stdout.split())
    for words in (
        "audit audit-1: 424 pictures of chairs, 2 classes; attributes: wheelchair, wide; fmn, 6 evaluations, linf, l2; "
        "trained on 7 of the pictures; prediction sets (aps, lac) calibrated on 250 pictures of pets and tested on "
        "200; stale: the audited version 0.9 had other weights and preprocessing",
        "rise Masks. up to 4000 forward evaluations, tolerance 10.0 % passed the randomisation test (similarity 0.10, "
        "limit 0.50; pictures: 2, evaluations for a map: at most 128)",
        "guided_backprop Gradients. failed the randomisation test: its maps stay similar when weights are randomised (",
        "attention_rollout not for this model: it has no attention; use grad_cam Attacks fmn Steps. linf, l2; gradient "
        "evaluations square Squares. linf; forward evaluations; the default gradient-based attacks cannot be trusted: "
        "it is random (20 pictures, 4 of them attacked with 10 gradients and with 150 forward passes; a gradient-free "
        "attack did much better on 50.0 %) "
        "Corruptions noise gaussian_noise, shot_noise weather fog lite2 1.0",
    ):
        assert words in text
