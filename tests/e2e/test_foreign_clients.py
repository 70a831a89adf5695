"""Callers in Go, Java and TypeScript, with the tools of their languages: a call, a stream, a deadline, and errors."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.rpc import code_pb2

from environments import apart
from servers import Server
from whybox import Client, UnavailableError

REPOSITORY = Path(__file__).parents[2]
FOREIGN = Path(__file__).parent / "foreign"
PROTOS = [REPOSITORY / "protos", Path(sysconfig.get_path("purelib"))]
"""Our contract, and the messages of google.rpc."""
GO_LIBRARIES = Path("/usr/share/gocode")
# What Go compiled stays, as the environments of other Python clients do: the libraries alone take 20 s.
GO_CACHE = REPOSITORY / ".venv-clients" / "go"
NO_REGISTRY = re.compile(r"code (E(NOTFOUND|CONN\w+|TIMEDOUT|AI_AGAIN)|ERR_SOCKET\w*)")

MODEL = "efficientnet-lite0"
SLOW = "occlusion"
"""With the measurements of its quality this method takes longer than any deadline here."""
CROWD = 100
"""As many calls at once are more than the server queues."""

Run = Callable[[Server, Path, Path], dict[str, Any]]


def done(command: list[str | Path], folder: Path, *, given: str = "", **environment: str) -> str:
    """What a command prints."""
    finished = subprocess.run(
        command,
        cwd=folder,
        input=given,
        env=apart() | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-3000:]
    return finished.stdout


def need(*programs: str) -> None:
    """Skips the test where a program is missing."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        pytest.skip(f"{' and '.join(missing)} not found: install Debian's packages of .ci/run")


def question(server: Server, picture: Path) -> str:
    asked = {
        "grpc": server.grpc.partition("//")[2],
        "rest": server.rest,
        "model": MODEL,
        "picture": str(picture),
        "slow": SLOW,
        "crowd": CROWD,
        "protos": list(map(str, PROTOS)),
    }
    return json.dumps(asked)


def canonical(name: str | int) -> str:
    """A code's name as the contract has it; Go writes "DeadlineExceeded", and REST has numbers in parts."""
    if isinstance(name, int):
        return str(code_pb2.Code.Name(name))
    return name if name.isupper() else re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def go(server: Server, picture: Path, folder: Path) -> dict[str, Any]:
    need("go", "protoc-gen-go")
    if not (GO_LIBRARIES / "src/google.golang.org/grpc").is_dir():
        pytest.skip(f"{GO_LIBRARIES} has no gRPC: install Debian's packages of .ci/run")
    program = folder / "src" / "foreign"
    shutil.copytree(FOREIGN / "go", program)
    protoc = [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{each}" for each in PROTOS)]
    # Debian has no Go package of long-running operations.
    operations = "google/longrunning/operations.proto"
    options = f"plugins=grpc,M{operations}=foreign/longrunning:{folder / 'src'}"
    for protos in (PROTOS[0].glob("whybox/v1/*.proto"), [PROTOS[0] / operations]):
        done([*protoc, f"--go_out={options}", *protos], folder)
    built = folder / "program"
    paths = {"GO111MODULE": "off", "GOPATH": f"{folder}:{GO_LIBRARIES}", "GOCACHE": str(GO_CACHE), "CGO_ENABLED": "0"}
    done(["go", "build", "-o", built, "."], program, **paths)
    answers: dict[str, Any] = json.loads(done([built], folder, given=question(server, picture)))
    return answers


def java(server: Server, picture: Path, folder: Path) -> dict[str, Any]:
    need("java", "javac")
    arguments: list[str | Path] = [server.rest, MODEL, picture, SLOW, str(CROWD)]
    bodies = json.loads(done(["java", FOREIGN / "java" / "Main.java", *arguments], folder))
    retry_after, refusal = bodies["busy"]
    assert retry_after == refusal["retry_after"]
    parts = []
    for line in bodies["stream"]:
        parts += ["prediction"] if "prediction" in line else []
        parts += [each["method"] for each in line.get("explanations", ())]
    late = bodies["deadline"]
    return {
        "call": bodies["call"]["prediction"]["classes"][0],
        "stream": parts,
        "deadline": {
            "prediction": late["prediction"]["status"]["code"],
            "explanation": late["explanations"][0]["status"]["code"],
        },
        "error": problem(bodies["error"]),
        "busy": problem(refusal),
    }


def problem(details: dict[str, Any]) -> dict[str, Any]:
    """A problem of REST, in the words of the other programs."""
    found = {"code": details["code"], "reason": details["reason"]}
    if "errors" in details:
        found["fields"] = [each["field"] for each in details["errors"]]
    if "retry_after" in details:
        found["retry_seconds"] = details["retry_after"]
    return found


def typescript(name: str) -> Run:
    def run(server: Server, picture: Path, folder: Path) -> dict[str, Any]:
        need("node", "npm")
        sources = folder / "typescript"
        if not (sources / "built").exists():
            build(sources, server)
        told = done(["node", f"built/{name}.js"], sources, given=question(server, picture))
        answers: dict[str, Any] = json.loads(told)
        return answers

    return run


def build(sources: Path, server: Server) -> None:
    """Compiles both programs in TypeScript, with the types of the contract and of the server's OpenAPI."""
    shutil.copytree(FOREIGN / "typescript", sources, ignore=shutil.ignore_patterns("node_modules"))
    install(sources)
    tools = sources / "node_modules" / ".bin"
    # As `loadSync` of the program reads the contract.
    reads = ["--keepCase", "--longs=Number", "--enums=String", "--defaults", "--oneofs"]
    makes = ["--grpcLib=@grpc/grpc-js", "--importFileExtension=.js", "--outDir=generated"]
    contract = ["whybox/v1/analysis.proto", "google/rpc/status.proto", "google/rpc/error_details.proto"]
    done([tools / "proto-loader-gen-types", *reads, *makes, "--includeDirs", *PROTOS, "--", *contract], sources)
    (sources / "openapi.json").write_text(httpx.get(f"{server.rest}/openapi.json").text)
    done([tools / "openapi-typescript", "openapi.json", "--output", "generated/openapi.ts"], sources)
    done([tools / "tsc"], sources)


def install(folder: Path) -> None:
    """Installs what package-lock.json lists; skips the test where there is no registry of packages."""
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    finished = subprocess.run(
        command, cwd=folder, env=apart(), capture_output=True, text=True, timeout=120, check=False
    )
    if finished.returncode != 0 and (found := NO_REGISTRY.search(finished.stderr)):
        pytest.skip(f"npm reaches no registry of packages: {found[1]}")
    assert finished.returncode == 0, finished.stderr[-3000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs are built, once."""
    return tmp_path_factory.mktemp("foreign")


@pytest.fixture
def rested(server: Server, dalmatian: bytes) -> Iterator[Server]:
    """The server, which takes analyses again at the end: what a crowd asked for ends with its deadline."""
    yield server
    give_up = time.monotonic() + 60
    with Client(server.grpc) as client:
        while True:
            try:
                client.explain(dalmatian)
            except UnavailableError:
                assert time.monotonic() < give_up
                time.sleep(0.2)
            else:
                return


PROGRAMS: dict[str, Run] = {
    "go": go,
    "java": java,
    "typescript over gRPC": typescript("over_grpc"),
    "typescript over REST": typescript("over_rest"),
}


@pytest.mark.parametrize("run", PROGRAMS.values(), ids=PROGRAMS)
def test_callers_in_other_languages(rested: Server, pictures: dict[Path, int], run: Run, folder: Path) -> None:
    picture = next(path for path, label in pictures.items() if label == 251)
    answers = run(rested, picture, folder)
    with Client(rested.grpc) as client:
        expected = client.predict(picture).classes[0]
    assert (answers["call"]["index"], answers["call"]["label"]) == (expected.index, expected.label)
    assert answers["call"]["probability"] == expected.probability

    assert answers["stream"][0] == "prediction"
    assert sorted(answers["stream"][1:]) == ["grad_cam", "saliency"]

    deadline = {part: canonical(code) for part, code in answers["deadline"].items()}
    assert deadline == {"prediction": "OK", "explanation": "DEADLINE_EXCEEDED"}

    error = answers["error"]
    assert (canonical(error["code"]), error["reason"]) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert error["fields"] == ["explanations[0].method"]

    busy = answers["busy"]
    assert (canonical(busy["code"]), busy["reason"]) == ("UNAVAILABLE", "QUEUE_FULL")
    assert busy["retry_seconds"] > 0
