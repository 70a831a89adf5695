"""Other architectures than the default model's, through the real server: MobileNetV2 with its ImageNet weights, and
three networks that differ most from it: large pictures, attention with channels last, and a head that convolves.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from families import ask_everything, assert_alike, write_spec
from servers import Server, serving
from whybox import Client
from whybox_handlers.models.archives import load_archive
from whybox_server.packing.pack import Packed, pack_model

# Of the methods that the registry offers unless the model or its spec says otherwise.
UNAVAILABLE = {
    "inception-v3": {},
    "mobilenet-v2": {},
    "squeezenet1-1": {},
    "swin-t": {"deep_lift": "DeepLIFT has no rule for torch.nn.functional.softmax, which this network uses; use inte"},
}


@pytest.fixture(scope="module")
def packed(spec_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Packed]:
    folder = tmp_path_factory.mktemp("families")
    specs = [write_spec(name, folder) for name in ("inception_v3", "squeezenet1_1", "swin_t")]
    specs.append(spec_path.with_name("mobilenet-v2.yaml"))
    return {spec.stem: pack_model(spec, folder, lambda _: None, checks="export") for spec in specs}


@pytest.fixture(scope="module")
def served(packed: dict[str, Packed], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    [store] = {each.archive.parent for each in packed.values()}
    with serving(store, tmp_path_factory.mktemp("logs")) as running:
        yield running


def test_a_second_architecture_with_real_weights_knows_the_pictures(served: Server, pictures: dict[Path, int]) -> None:
    with Client(served.grpc, model="mobilenet-v2", timeout=120) as client:
        right = [client.predict(path, top_k=5).classes for path in pictures]
    ranks = [[each.index for each in classes] for classes in right]
    assert sum(label == first[0] for label, first in zip(pictures.values(), ranks, strict=True)) >= 14
    assert sum(label in five for label, five in zip(pictures.values(), ranks, strict=True)) >= 18


@pytest.mark.parametrize("model", UNAVAILABLE)
def test_every_method_over_both_transports(
    model: str, packed: dict[str, Packed], served: Server, dalmatian: bytes
) -> None:
    classifier = load_archive(packed[model].archive)
    with Client(served.grpc) as grpc, Client(served.rest) as rest:
        maps = [ask_everything(client, model, classifier, dalmatian, lambda _: None) for client in (grpc, rest)]
        methods = grpc.model(model).methods
    assert_alike(*maps)
    unavailable = {method.name: method.unavailable for method in methods if method.unavailable}
    # No reference bank yet, and off by default.
    assert unavailable.keys() == {"example", "guided_grad_cam", *UNAVAILABLE[model]}
    for name, says in UNAVAILABLE[model].items():
        assert unavailable[name].startswith(says)
