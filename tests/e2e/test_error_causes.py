"""Each row of README's table of errors, brought about on a real server, over both transports where it has both."""

import ast
import io
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import pytest
from google.longrunning.operations_proto_pb2 import GetOperationRequest
from google.protobuf.message import Message
from grpc_status import rpc_status
from PIL import Image

from messages import message
from presence import present
from server.studies.folders import CELLS, write_folder
from servers import Server, serving
from whybox import Client, v1
from whybox.v1.errors import WhyboxError, error_from_status

REPOSITORY = Path(__file__).parents[2]
ROW = re.compile(r"^\| (?P<reasons>`[A-Z_`, ]+`) \| (?P<answer>[^|]+) \|", re.MULTILINE)
MODEL = "efficientnet-lite0"
PREDICT = f"/v1/models/{MODEL}:predict"
JPEG = {"Content-Type": "image/jpeg"}
ANALYSIS, STUDIES = "/whybox.v1.AnalysisService", "/whybox.v1.StudyService"
OPERATION = "operations/0123456789abcdef"
# Half of them are for connections over REST.
OPEN_FILES = 128
OPEN, CLOSED, BROKEN = "shapes", "closed", "broken"
TIMEOUT = 60
LIMITS = {
    "WHYBOX_QUOTA_SECONDS": "0.001",
    "WHYBOX_BODIES_BYTES": "1MiB",
    "WHYBOX_ANALYZE_QUEUE_SECONDS": "0.001",
    "WHYBOX_GRPC_UPLOAD_SECONDS": "1",
    "WHYBOX_DRAIN_SECONDS": "1",
}


class Row(NamedTuple):
    """One reason of the table; `code` or `status` is None for what is not told so."""

    reason: str
    code: str | None
    status: int | None


def rows() -> Iterator[Row]:
    """The rows of the table, one for each reason."""
    _, _, table = (REPOSITORY / "README.md").read_text().partition("| `reason` | code, HTTP status |")
    for row in ROW.finditer(table.partition("\n\n")[0]):
        code = re.search(r"\b[A-Z]+(_[A-Z]+)*\b(?=,|$)", row["answer"])
        status = re.search(r"\b\d{3}\b", row["answer"])
        for reason in re.findall("[A-Z_]+", row["reasons"]):
            yield Row(reason, code and code[0], int(status[0]) if status else None)


ROWS = {row.reason: row for row in rows()}

# Shown by a test of their own: a fault that no caller can bring about, another model, or a server that ends.
ELSEWHERE = {
    "NOT_ACCEPTABLE": "tests/e2e/test_audited.py::test_a_browser_gets_the_page",
    "NO_KEY_FILE": "tests/server/studies/api/test_access.py::test_without_a_file_nobody_gets_in",
    "NOT_FOUND": "tests/clients/transports/test_failures.py::test_the_tree_survives_both_transports",
    "NO_ADVERSARIAL_PICTURE": "tests/server/rest/test_app.py::test_without_an_adversarial_picture_a_problem_says_why",
    "NO_THUMBNAILS": "tests/server/validation/test_explanations.py::test_thumbnails_need_a_bank_that_has_them",
    "ONE_CLASS": "tests/server/validation/test_robustness.py::test_what_is_not_possible",
    "NOT_FINITE": "tests/handlers/work/test_analyzer.py::test_an_output_that_is_not_finite_is_no_answer",
    "KILLED_WORKERS": "tests/e2e/test_faults.py::test_what_ends_two_workers_is_refused_and_all_else_goes_on",
    "FAILED_PRECONDITION": "tests/clients/test_client.py::test_without_any_model_nothing_can_be_asked",
    "WORKER_DIED": "tests/server/gateway/queueing/test_dispatcher.py::test_a_death_without_time_to_begin_anew",
    "SERVER_STOPPING": "tests/e2e/test_error_causes.py::test_a_stop_tells_whom_it_cuts_off",
    "OPERATION_INTERRUPTED": "tests/server/operations/test_runs.py::test_it_begins_again_once",
    "UNAVAILABLE": "tests/e2e/test_faults.py::test_kill_workers_then_torchserve",
    "CANCELLED": "tests/server/rest/test_problems.py::test_every_error_has_its_problem",
    "INTERNAL": "tests/server/gateway/test_core_failures.py::test_a_bug_is_not_swallowed",
    "MALFORMED_ANSWER": "tests/clients/messages/test_tensors.py::test_contradictions_are_told",
    "NOT_WHYBOX": "tests/clients/transports/test_failures.py::test_other_grpc_servers",
    "UNKNOWN": "tests/clients/transports/test_failures.py::test_a_problem_of_a_newer_server_is_read_as_far_as_possible",
}


@dataclass(frozen=True)
class Place:
    """Where errors are brought about.

    Attributes:
        open: A server without keys and database.
        guarded: A server with both, and with small limits.
        keys: Keys of it by name: "admin" and "predict" for these scopes, "spender", whose quota is used up.
        unused: Keys of others, each of which is used once: its quota is gone then.
        folder: Its keys, database and studies.
        picture: A good one.
    """

    open: Server
    guarded: Server
    keys: dict[str, str]
    unused: list[str]
    folder: Path
    picture: bytes

    def bearer(self, key: str | None) -> dict[str, str]:
        """The headers, or the metadata, with a key of the guarded server."""
        return {} if key is None else {"authorization": f"Bearer {self.keys.get(key, key)}"}


Rest = Callable[[Place], httpx.Response]
Grpc = Callable[[Place], WhyboxError]


class Cause(NamedTuple):
    """What brings an error about; None where a transport cannot have it.

    Attributes:
        rest: Asks over REST, for its answer.
        grpc: Asks over gRPC, for its error.
        retry: Whether the answer says when to try again.
    """

    rest: Rest | None
    grpc: Grpc | None
    retry: bool = False


def whybox_server(*arguments: object) -> str:
    command = [str(Path(sys.executable).with_name("whybox-server")), *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@contextmanager
def few_files(number: int) -> Iterator[None]:
    """What is started inside of the block may open at most `number` files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(scope="module")
def place(server: Server, archive: Path, dalmatian: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("causes")
    database = f"sqlite:///{folder}/whybox.db"
    keys = {
        name: whybox_server("keys", "add", "--name", name, "--scope", scope, "--file", folder / "keys.json").split()[-1]
        for name, scope in (
            ("admin", "admin"),
            ("predict", "predict"),
            ("spender", "predict"),
            *((f"unused {number}", "analyze") for number in range(3)),
        )
    }
    unused = [keys.pop(name) for name in list(keys) if name.startswith("unused")]
    for study in (OPEN, CLOSED, BROKEN):
        write_folder(folder / study, study=study, pictures=2, practice=1, cells=CELLS[:2])
        whybox_server("study", "open", folder / study, "--database", database)
    whybox_server("study", "close", CLOSED, "--reason", "Enough.", "--database", database)
    next((folder / BROKEN).rglob("*.png")).unlink()
    settings = LIMITS | {
        "WHYBOX_KEY_FILE": str(folder / "keys.json"),
        "WHYBOX_DATABASE": database,
        "WHYBOX_OPERATION_DIR": str(folder / "operations"),
    }
    with ExitStack() as stack:
        with few_files(OPEN_FILES):
            guarded = stack.enter_context(serving(archive.parent, folder / "logs", **settings))
        yield Place(server, guarded, keys, unused, folder, dalmatian)


def rest(
    path: str = PREDICT,
    method: str = "POST",
    *,
    key: str | None = None,
    guarded: bool = False,
    content: Callable[[bytes], bytes] | None = None,
    **headers: str,
) -> Rest:
    """A request: a good picture, or what `content` makes of it; with a key to the guarded server."""

    def ask(place: Place) -> httpx.Response:
        body = (content or bytes)(place.picture) if method == "POST" else None
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        address = (place.guarded if guarded or key else place.open).rest
        all_headers = JPEG | place.bearer(key) | named
        return httpx.request(method, address + path, headers=all_headers, content=body, timeout=TIMEOUT)

    return ask


def rpc(
    method: str = f"{ANALYSIS}/Analyze",
    sent: Callable[[bytes], Message | bytes] | None = None,
    *,
    key: str | None = None,
    guarded: bool = False,
    **metadata: str,
) -> Grpc:
    """A call with one message: a prediction of a good picture, or what `sent` makes of it."""

    def ask(place: Place) -> WhyboxError:
        made = (sent or analysis())(place.picture)
        named = {name.replace("_", "-"): value for name, value in metadata.items()} | place.bearer(key)
        server = place.guarded if guarded or key else place.open
        return refusal(server, method, [made if isinstance(made, bytes) else made.SerializeToString()], named)

    return ask


def refusal(server: Server, method: str, messages: Any, metadata: dict[str, str]) -> WhyboxError:
    """The error of a call that sends these messages."""
    options = [("grpc.max_send_message_length", 64 * 2**20)]
    with grpc.insecure_channel(server.grpc.removeprefix("grpc://"), options) as channel:
        call: Any = channel.stream_stream(method)(iter(messages), timeout=TIMEOUT, metadata=tuple(metadata.items()))
        with pytest.raises(grpc.RpcError):
            list(call)
        error = error_from_status(present(rpc_status.from_call(call)))
        assert call.code().name == error.code_name
        return error


def analysis(**parts: Any) -> Callable[[bytes], Message]:
    """Makes a request of a picture with these parts and other fields; a prediction without any."""
    fields = parts or {"prediction": {}}
    return lambda picture: message(v1.AnalyzeRequest, **({"model": MODEL, "image": picture} | fields))


def padded(picture: bytes) -> bytes:
    """A picture with two MiB behind it."""
    return picture + bytes(2 * 2**20)


def wide(_: bytes) -> bytes:
    """A small file with more pixels than any picture may have."""
    file = io.BytesIO()
    Image.new("1", (10_000, 6_000)).save(file, "PNG")
    return file.getvalue()


@contextmanager
def connection(server: Server, sent: bytes = b"") -> Iterator[socket.socket]:
    """A connection over which so much was sent."""
    host, _, port = server.rest.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connected:
        connected.sendall(sent)
        yield connected


@contextmanager
def half_sent(server: Server, authorization: dict[str, str]) -> Iterator[socket.socket]:
    """A connection with a request that is being read, and whose body does not come whole."""
    headers = JPEG | authorization | {"Host": "here", "Content-Length": "100", "Expect": "100-continue"}
    lines = [f"POST {PREDICT} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    with connection(server, "\r\n".join(lines).encode()) as connected:
        assert connected.recv(100).startswith(b"HTTP/1.1 100 ")
        connected.sendall(b"half")
        yield connected


def answer_on(connected: socket.socket) -> httpx.Response:
    """What comes until the server closes the connection."""
    received = b"".join(iter(lambda: connected.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    return httpx.Response(int(first.split()[1]), headers=headers, content=body)


def cut_off(place: Place) -> httpx.Response:
    """The body ends, and its caller listens still."""
    with half_sent(place.open, {}) as connected:
        connected.shutdown(socket.SHUT_WR)
        return answer_on(connected)


def slow_headers(place: Place) -> httpx.Response:
    with connection(place.open, b"GET /healthz HTTP/1.1\r\nHost: here\r\n") as connected:
        return answer_on(connected)


def slow_message(place: Place) -> WhyboxError:
    done = threading.Event()

    def nothing() -> Iterator[bytes]:
        done.wait(TIMEOUT)
        yield from ()

    try:
        return refusal(place.guarded, f"{ANALYSIS}/Analyze", nothing(), place.bearer("admin"))
    finally:
        done.set()


def no_message(place: Place) -> WhyboxError:
    return refusal(place.open, f"{ANALYSIS}/Analyze", (), {})


def crowded(place: Place) -> httpx.Response:
    """One connection more than there may be, all of which are busy."""
    with ExitStack() as stack:
        for _ in range(OPEN_FILES // 2):
            stack.enter_context(half_sent(place.guarded, place.bearer("predict")))
        return answer_on(stack.enter_context(connection(place.guarded)))


@contextmanager
def explaining(place: Place, number: int) -> Iterator[list[Any]]:
    """Calls of one key that keep the worker of analyses busy."""
    key = place.unused.pop()
    slow = analysis(explanations=[{"method": "rise", "max_evaluations": 5000, "tolerance": 0}])(place.picture)
    with grpc.insecure_channel(place.guarded.grpc.removeprefix("grpc://")) as channel:
        method: Any = channel.unary_unary(f"{ANALYSIS}/Analyze")
        calls = [
            method.future(slow.SerializeToString(), timeout=TIMEOUT, metadata=tuple(place.bearer(key).items()))
            for _ in range(number)
        ]
        try:
            yield calls
        finally:
            for call in calls:
                call.cancel()


def wait_for_works(place: Place, number: int) -> None:
    """Waits until the guarded server has `number` units of work, which wait or are with a worker."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        metrics = httpx.get(f"{place.guarded.rest}/metrics", headers=place.bearer("admin")).text
        works = [float(count) for count in re.findall(r"^whybox_queue_works{.*} (\S+)$", metrics, re.MULTILINE)]
        assert works
        if sum(works) == number:
            return
        assert time.monotonic() < deadline, works
        time.sleep(0.05)


@contextmanager
def broken_keys(place: Place) -> Iterator[None]:
    file = place.folder / "keys.json"
    good = file.read_bytes()
    file.write_bytes(b"{")
    try:
        yield
    finally:
        file.write_bytes(good)


@contextmanager
def broken_database(place: Place) -> Iterator[None]:
    def rename(old: str, new: str) -> None:
        with sqlite3.connect(place.folder / "whybox.db") as connected:
            connected.execute("PRAGMA legacy_alter_table = ON")
            connected.execute(f"ALTER TABLE {old} RENAME TO {new}")
        connected.close()

    rename("operations", "gone")
    try:
        yield
    finally:
        rename("gone", "operations")


@contextmanager
def no_folder(place: Place) -> Iterator[None]:
    """The folder of the pictures of operations is away."""
    folder = place.folder / "operations"
    away = folder.rename(folder.with_name("away"))
    try:
        yield
    finally:
        away.rename(folder)


@contextmanager
def full_queue(place: Place) -> Iterator[None]:
    with explaining(place, 8) as calls:
        refused = threading.Event()
        for call in calls:
            call.add_done_callback(lambda _: refused.set())
        # Those that come first leave no room for the others.
        assert refused.wait(TIMEOUT)
        yield
    wait_for_works(place, 0)


@contextmanager
def spent(place: Place) -> Iterator[None]:
    """The spender has used its quota."""
    rest(key="spender")(place)
    yield


def while_(broken: Callable[[Place], Any], cause: Cause) -> Cause:
    """The cause inside of a block."""

    def inside(ask: Callable[[Place], Any] | None) -> Callable[[Place], Any]:
        def asking(place: Place) -> Any:
            with broken(place):
                return present(ask)(place)

        return asking

    return cause._replace(rest=inside(cause.rest), grpc=inside(cause.grpc))


def explained(query: str, **more: Any) -> Rest:
    return rest(f"/v1/models/{MODEL}:explain{query}", **more)


def inviting(study: str) -> Cause:
    request = v1.InviteAnnotatorsRequest(study=study)
    return Cause(
        rest(f"/v1/studies/{study}/invitations", key="admin", content=lambda _: b"{}", Content_Type="application/json"),
        rpc(f"{STUDIES}/InviteAnnotators", lambda _: request, key="admin"),
    )


UNKNOWN_OPERATION = Cause(
    rest(f"/v1/{OPERATION}", "GET", key="admin"),
    rpc("/google.longrunning.Operations/GetOperation", lambda _: GetOperationRequest(name=OPERATION), key="admin"),
)
EXPLAINED = analysis(explanations=[{"method": "grad_cam"}])

# Reason -> its cause.
CAUSES: dict[str, Cause] = {
    "INVALID_REQUEST": Cause(rest(f"{PREDICT}?top_k=0"), rpc(sent=analysis(prediction={"top_k": 0}))),
    "BAD_PICTURE": Cause(rest(content=lambda _: b"text"), rpc(sent=analysis(image=b"text", prediction={}))),
    "PICTURE_TOO_LARGE": Cause(rest(content=wide), rpc(sent=lambda _: analysis()(wide(b"")))),
    "BODY_TOO_LARGE": Cause(
        rest(
            f"/v1/studies/{OPEN}/invitations",
            key="admin",
            content=lambda _: bytes(100_000),
            Content_Type="application/json",
        ),
        None,
    ),
    "UNSUPPORTED_MEDIA_TYPE": Cause(rest(Content_Type="video/mp4"), None),
    "UNSUPPORTED_ENCODING": Cause(rest(Content_Encoding="br"), None),
    "INCOMPLETE_BODY": Cause(cut_off, None),
    "METHOD_NOT_ALLOWED": Cause(rest(method="GET"), None),
    "REQUEST_TIMEOUT": Cause(slow_headers, slow_message),
    "UNREADABLE_MESSAGE": Cause(None, rpc(sent=lambda _: b"\xff")),
    "NO_MESSAGE": Cause(None, no_message),
    "ANSWER_TOO_LARGE": Cause(None, rpc(sent=EXPLAINED, x_whybox_max_response_bytes="1000")),
    "METADATA_TOO_LARGE": Cause(None, rpc(x_long="x" * 9000)),
    "UNAUTHENTICATED": Cause(rest(guarded=True), rpc(guarded=True)),
    "UNKNOWN_KEY": Cause(rest(key="whybox_other"), rpc(key="whybox_other")),
    "PERMISSION_DENIED": Cause(explained("", key="predict"), rpc(sent=EXPLAINED, key="predict")),
    "UNKNOWN_MODEL": Cause(rest("/v1/models/other:predict"), rpc(sent=analysis(model="other", prediction={}))),
    "UNKNOWN_VERSION": Cause(rest(f"{PREDICT}?version=9"), rpc(sent=analysis(version="9", prediction={}))),
    "UNKNOWN_AUDIT": Cause(
        rest(f"/v1/models/{MODEL}/audits/other", "GET"),
        rpc(f"{ANALYSIS}/GetAudit", lambda _: v1.GetAuditRequest(model=MODEL, audit="other")),
    ),
    "UNKNOWN_OPERATION": UNKNOWN_OPERATION,
    "UNKNOWN_STUDY": Cause(
        rest("/v1/studies/other", "GET", key="admin"),
        rpc(f"{STUDIES}/GetStudy", lambda _: v1.GetStudyRequest(study="other"), key="admin"),
    ),
    "UNKNOWN_PATH": Cause(rest("/v1/other", "GET"), None),
    "METHOD_UNAVAILABLE": Cause(explained("?method=example"), rpc(sent=analysis(explanations=[{"method": "example"}]))),
    "NO_OTHER_MODEL": Cause(
        rest(f"/v1/models/{MODEL}:robustness?transfer=true"), rpc(sent=analysis(robustness={"transfer": True}))
    ),
    "NO_ANSWERS": Cause(
        rest(f"/v1/studies/{OPEN}/results", "GET", key="admin"),
        rpc(f"{STUDIES}/GetStudyResults", lambda _: v1.GetStudyResultsRequest(study=OPEN), key="admin"),
    ),
    "STUDY_CLOSED": inviting(CLOSED),
    "STUDY_UNUSABLE": inviting(BROKEN),
    "NO_DATABASE": Cause(rest(f"/v1/models/{MODEL}:analyze?async=true"), rpc(f"{ANALYSIS}/StartAnalysis")),
    "QUOTA_EXCEEDED": while_(spent, Cause(rest(key="spender"), rpc(key="spender"), retry=True)),
    "BODIES_FULL": Cause(
        rest(key="predict", content=padded), rpc(sent=lambda picture: analysis()(padded(picture)), key="predict"), True
    ),
    "QUEUE_FULL": while_(full_queue, Cause(explained("", key="admin"), rpc(sent=EXPLAINED, key="admin"), retry=True)),
    "TOO_MANY_CONNECTIONS": Cause(crowded, None, retry=True),
    "OPERATION_NOT_KEPT": while_(
        no_folder,
        Cause(
            rest(f"/v1/models/{MODEL}:analyze?async=true", key="admin"), rpc(f"{ANALYSIS}/StartAnalysis", key="admin")
        ),
    ),
    "DATABASE_UNAVAILABLE": while_(broken_database, UNKNOWN_OPERATION),
    "KEYS_UNREADABLE": while_(broken_keys, Cause(rest(key="predict"), rpc(key="predict"))),
    "DEADLINE_EXCEEDED": Cause(rest(f"{PREDICT}?timeout=0.001"), rpc(x_whybox_timeout="0.001")),
}

# Reason -> what the Python client is asked, over both transports.
OF_CLIENT: dict[str, Callable[[Client], object]] = {
    "NO_STUDIES": Client.studies,
    "NO_OPERATIONS": lambda client: client.operation(OPERATION),
}


def test_every_row_is_shown() -> None:
    shown = [*CAUSES, *OF_CLIENT, *ELSEWHERE]
    assert sorted(shown) == sorted(ROWS)
    for reason, test in ELSEWHERE.items():
        path, _, name = test.partition("::")
        tests = ast.walk(ast.parse((REPOSITORY / path).read_text()))
        functions = {each.name for each in tests if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in functions, reason


@pytest.mark.parametrize("reason", [reason for reason, cause in CAUSES.items() if cause.rest])
def test_over_rest(place: Place, reason: str) -> None:
    cause, row = CAUSES[reason], ROWS[reason]
    answer = present(cause.rest)(place)
    told = answer.json()
    assert told["reason"] == reason, told
    assert (answer.status_code, told["status"], told["code"]) == (row.status, row.status, row.code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("retry_after" in told, "retry-after" in answer.headers) == (cause.retry, cause.retry)


@pytest.mark.parametrize("reason", [reason for reason, cause in CAUSES.items() if cause.grpc])
def test_over_grpc(place: Place, reason: str) -> None:
    cause = CAUSES[reason]
    error = present(cause.grpc)(place)
    assert error.reason == reason, error
    assert error.code_name == ROWS[reason].code
    assert (error.retry_after is not None) == cause.retry


@pytest.mark.parametrize("transport", ["rest", "grpc"])
@pytest.mark.parametrize("reason", OF_CLIENT)
def test_of_the_python_client(server: Server, transport: str, reason: str) -> None:
    with Client(getattr(server, transport)) as client, pytest.raises(WhyboxError) as caught:
        OF_CLIENT[reason](client)
    assert caught.value.reason == reason


def test_both_servers_go_on(place: Place) -> None:
    for server, key in ((place.open, None), (place.guarded, place.keys["predict"])):
        for url in (server.rest, server.grpc):
            with Client(url, key=key) as client:
                assert client.models()


def test_a_stop_tells_whom_it_cuts_off(place: Place, archive: Path, tmp_path: Path) -> None:
    settings = LIMITS | {"WHYBOX_KEY_FILE": str(place.folder / "keys.json")}
    with (
        serving(archive.parent, tmp_path, **settings) as ending,
        explaining(there := replace(place, guarded=ending), 1) as [call],
        half_sent(ending, place.bearer("admin")) as connected,
    ):
        wait_for_works(there, 1)
        ending.process.send_signal(signal.SIGTERM)
        answer = answer_on(connected)
        assert (answer.status_code, answer.json()["reason"]) == (503, "SERVER_STOPPING")
        assert call.exception(TIMEOUT).code() is grpc.StatusCode.UNAVAILABLE
        assert error_from_status(present(rpc_status.from_call(call))).reason == "SERVER_STOPPING"
        assert ending.process.wait(TIMEOUT) == 0
