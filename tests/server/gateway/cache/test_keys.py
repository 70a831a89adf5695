"""A part's key changes with everything that the part rests on, and with nothing else."""

from typing import Any

import pytest

from messages import message
from whybox import v1
from whybox_server.gateway.cache.keys import Source, key
from whybox_server.gateway.units import units

MANIFEST: dict[str, Any] = {
    "name": "m",
    "version": "2",
    "labels": ["cat", "dog"],
    "digests": {"weights_sha256": "w", "onnx_sha256": "o", "preprocessing_sha256": "p", "labels_sha256": "l"},
    "audit": {"id": "audit", "bank_sha256": "bank", "references": {"sha256": {"records": "r"}}},
}
OTHER = v1.Model(name="other", version="1", digests=v1.Digests(onnx_sha256="o"))
ASKED: dict[str, Any] = {
    "model": "m",
    "seed": 7,
    "prediction": {"top_k": 5},
    "explanations": [
        {"method": "grad_cam", "encodings": ["uint8"]},
        {"method": "lime", "baseline_image": b"grey", "max_evaluations": 100},
    ],
    "robustness": {"norms": ["linf"], "budget": "12", "attack": "fmn"},
    "bias": {"attributes": ["age"]},
    "certified": {"sigma": 0.25, "samples": 100},
}
PARTS = {"prediction", "explanations[0]", "explanations[1]", "robustness", "bias", "certified"}


def keys(asked=(), manifest=(), caller="a", others=(OTHER,), image_sha256="picture"):
    """The keys of all parts of a request, by the names of the parts."""
    request = message(v1.AnalyzeRequest, **{**ASKED, **dict(asked)})
    source = Source(caller, message(v1.Model, **{**MANIFEST, **dict(manifest)}), others, image_sha256)
    entries = [entry for unit in units(request) for entry in unit.entries()]
    return {
        entry.parts[0].name + (f"[{entry.indices[0]}]" if entry.indices else ""): key(entry, source)
        for entry in entries
    }


def changed(**other):
    before, after = keys(), keys(**other)
    return {name for name in after if after[name] != before.get(name)}


def test_each_part_has_a_key_of_its_own():
    assert set(keys()) == PARTS
    assert all(len(each) == 32 for each in keys().values())
    assert len(set(keys().values())) == len(PARTS)


@pytest.mark.parametrize(
    "other",
    [
        {"caller": "b"},
        {"caller": ""},
        {"image_sha256": "other"},
        {"asked": {"seed": 8}},
        {"asked": {"view": True}},
        {"manifest": {"name": "n"}},
        {"manifest": {"version": "3"}},
        {"manifest": {"labels": ["dog", "cat"]}},
        *({"manifest": {"digests": {**MANIFEST["digests"], name: "x"}}} for name in MANIFEST["digests"]),
        {"manifest": {"audit": {**MANIFEST["audit"], "bank_sha256": "x"}}},
        {"manifest": {"audit": {**MANIFEST["audit"], "references": {"sha256": {"records": "x"}}}}},
    ],
    ids=str,
)
def test_all_parts_rest_on(other):
    assert changed(**other) == PARTS


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        ({"prediction": {"top_k": 4}}, {"prediction"}),
        ({"prediction": {"top_k": 5, "set_method": "aps"}}, {"prediction"}),
        ({"bias": {"attributes": ["light"]}}, {"bias"}),
        ({"certified": {"sigma": 0.5, "samples": 100}}, {"certified"}),
        ({"robustness": {**ASKED["robustness"], "budget": "13"}}, {"robustness"}),
        ({"robustness": {**ASKED["robustness"], "twin": "grad_cam"}}, {"robustness"}),
        ({"robustness": {**ASKED["robustness"], "transfer": True}}, {"robustness"}),
        ({"explanations": [ASKED["explanations"][0], {"method": "lime"}]}, {"explanations[1]"}),
        (
            {"explanations": [ASKED["explanations"][0], {**ASKED["explanations"][1], "baseline_image": b"black"}]},
            {"explanations[1]"},
        ),
        ({"version": "2"}, set()),
    ],
    ids=str,
)
def test_a_part_rests_on_its_own_parameters(asked, parts):
    assert changed(asked=asked) == parts


def test_the_place_of_a_map_in_the_request_does_not_matter():
    first, second = ASKED["explanations"]
    turned = keys({"explanations": [second, first]})
    assert (turned["explanations[1]"], turned["explanations[0]"]) == (
        keys()["explanations[0]"],
        keys()["explanations[1]"],
    )
    alone = keys({"explanations": [second], "prediction": None})
    assert alone["explanations[0]"] == keys()["explanations[1]"]


@pytest.mark.parametrize(
    "others", [(), (v1.Model(name="other", version="1", digests=v1.Digests(onnx_sha256="x")),), (OTHER, OTHER)]
)
def test_other_models_matter_to_transfers_alone(others):
    assert changed(others=others) == set()
    transfers = {"robustness": {**ASKED["robustness"], "transfer": True}}
    assert keys(transfers)["robustness"] != keys(transfers, others=others)["robustness"]


def test_what_takes_the_time_that_its_call_has_is_never_known():
    assert keys({"robustness": {**ASKED["robustness"], "budget": "deadline"}})["robustness"] is None


def test_neighbours_do_not_run_together():
    assert keys(caller="ab", image_sha256="c") != keys(caller="a", image_sha256="bc")
