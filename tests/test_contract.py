"""The contract: generated code is current, every field is explained, and the pinned names are there."""

import os
import re
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.message import Message
from grpc_tools import protoc

from whybox import v1
from whybox._messages.tensors import decode
from whybox.v1 import analysis_pb2, studies_pb2, vocabulary
from whybox_handlers.explanations.baselines import BASELINES
from whybox_handlers.explanations.maps.tensors import encode

REPOSITORY = Path(__file__).parents[1]
PROTOS = sorted(path.relative_to(REPOSITORY / "protos") for path in REPOSITORY.glob("protos/whybox/v1/*.proto"))


def test_generated_code_is_current(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    # The environment is the one that runs this test: make leaves it as it is.
    there = ["--old-file=.venv/server", "--old-file=.venv/dev"]
    command = ["make", "--silent", *there, "protos", f"GENERATED={tmp_path}/"]
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, capture_output=True)
    fresh = {path.relative_to(tmp_path): path for path in tmp_path.rglob("*_pb2*.py*")}
    committed = {
        path.relative_to(REPOSITORY)
        for folder in (
            "clients/whybox/v1",
            *(f"server/whybox_server/{room}" for room in ("oip", "rpc", "torchserve")),
        )
        for path in (REPOSITORY / folder).glob("*_pb2*.py*")
    }
    assert set(fresh) == committed
    for name, path in fresh.items():
        assert path.read_text() == (REPOSITORY / name).read_text(), f"{name} is out of date; run `make protos`"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[descriptor_pb2.FileDescriptorProto]:
    """The .proto files with their comments."""
    target = tmp_path_factory.mktemp("descriptors") / "set"
    folders = [REPOSITORY / "protos", sysconfig.get_path("purelib"), Path(protoc.__file__).parent / "_proto"]
    includes = [f"-I{folder}" for folder in folders]
    arguments = ["protoc", *includes, f"--descriptor_set_out={target}", "--include_source_info", *map(str, PROTOS)]
    assert protoc.main(arguments) == 0
    return list(descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file)


def test_go_and_java_can_generate_code(files: list[descriptor_pb2.FileDescriptorProto]) -> None:
    for file in files:
        assert file.options.go_package == "whybox/v1;whyboxv1"
        assert file.options.java_package == "whybox.v1"
        assert file.options.java_multiple_files


def test_the_readme_explains_every_reason() -> None:
    pattern = re.compile(r"""(?:reason(?:: ClassVar\[str\])? ?= ?|SERVER_STOPPING = )"([A-Z_]+)\"""")
    sources = [path for room in ("clients", "handlers", "server") for path in (REPOSITORY / room).rglob("*.py")]
    raised = {reason for path in sources for reason in pattern.findall(path.read_text())}
    rows = [line.split("|")[1] for line in (REPOSITORY / "README.md").read_text().splitlines() if line.startswith("|")]
    explained = {
        word.strip("` ") for row in rows for word in row.split(",") if re.fullmatch(r" *`(?!WHYBOX_)[A-Z_]+` *", word)
    }
    assert raised == explained


def test_every_field_is_explained(files: list[descriptor_pb2.FileDescriptorProto]) -> None:
    unexplained = []
    for file in files:
        comments = {tuple(location.path): location.leading_comments for location in file.source_code_info.location}
        for m, message in enumerate(file.message_type):
            for f, field in enumerate(message.field):
                if not comments.get((4, m, 2, f), "").strip():
                    unexplained.append(f"{message.name}.{field.name}")
    assert not unexplained


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (v1.AnalyzeRequest, "model version image prediction explanations robustness bias seed"),
        (v1.AnalyzeResponse, "request_id model version prediction explanations robustness bias timings receipt"),
        (v1.PredictionOptions, "top_k"),
        (v1.ExplanationOptions, "method target_class"),
        (v1.RobustnessOptions, "norms budget"),
        (v1.BiasOptions, "attributes"),
        (v1.Prediction, "status classes"),
        (v1.ClassScore, "index label probability"),
        (v1.Explanation, "status method target_class attribution convergence_delta"),
        (v1.Tensor, "shape dtype data"),
        (v1.Robustness, "status distances"),
        (v1.Distance, "norm distance adversarial_class gradient_evaluations percentile"),
        (v1.Bias, "status flags prototypes criticisms"),
        (v1.Study, "id title kind state digest model version data"),
        (v1.StudyStatus, "study annotators answers cells full"),
        (v1.StudyResults, "study digest json"),
        (v1.InviteAnnotatorsRequest, "study number days"),
        (v1.InviteAnnotatorsResponse, "links expires"),
        (v1.BiasFlag, "kind state attribute class_index effect ci_low ci_high n q_value"),
    ],
)
def test_pinned_fields(message: type[Message], fields: str) -> None:
    assert set(fields.split()) <= set(message.DESCRIPTOR.fields_by_name)


def test_pinned_methods() -> None:
    service = analysis_pb2.DESCRIPTOR.services_by_name["AnalysisService"]
    assert service.full_name == "whybox.v1.AnalysisService"
    streams = {method.name: method.server_streaming for method in service.methods}
    assert streams == {
        "Analyze": False,
        "StreamAnalysis": True,
        "StartAnalysis": False,
        "ListModels": False,
        "GetModel": False,
        "ListAudits": False,
        "GetAudit": True,
    }


def test_pinned_methods_of_studies() -> None:
    service = studies_pb2.DESCRIPTOR.services_by_name["StudyService"]
    assert service.full_name == "whybox.v1.StudyService"
    streams = {method.name: method.server_streaming for method in service.methods}
    assert streams == dict.fromkeys(("ListStudies", "GetStudy", "GetStudyResults", "InviteAnnotators"), False)


def test_the_baselines_of_the_contract_are_those_of_the_registry() -> None:
    assert tuple(BASELINES) == vocabulary.BASELINES


@pytest.mark.parametrize("encoding", vocabulary.NUMBERS)
def test_a_map_travels_in_every_encoding_of_numbers(encoding: str) -> None:
    values = np.array([[0.0, 0.5], [0.25, 1.0]], np.float32)
    np.testing.assert_allclose(decode(encode(values, encoding)), values, atol=1 / 255)
