"""A large picture on its way through the gateway's process: its body, and at most one copy of it at any time.

tracemalloc sees what Python holds: bodies, `bytes` of messages, buffers of parsers. It does not see what C holds: a
parsed message has the picture once more, until the answer, and gRPC while it receives the message.
"""

import asyncio
import base64
import json
import sys
import tracemalloc
import zipfile

import pytest
from google.protobuf import json_format

from server.backends import FakeBackend
from server.waiting import until
from whybox import v1
from whybox_server.cli import serving as serve_module
from whybox_server.cli.serving import serve_until_stopped
from whybox_server.settings import Settings

SIZE = 19 * 10**6
# A buffer that grows while a body arrives has an eighth in reserve; the rest is all else that a call takes.
SLACK = 0.15
CAM = v1.Method(name="grad_cam")
MODEL = v1.Model(name="m", version="1", num_classes=10, methods=[CAM])

# The client is a process of its own: its copies are not the gateway's.
CLIENT = """
import sys, urllib.request, pathlib
address, what, kind = sys.argv[1:4]
body = pathlib.Path(sys.argv[4]).read_bytes()
if address.startswith("grpc"):
    import grpc
    from whybox import v1
    from whybox.v1 import analysis_pb2_grpc
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(address.partition("//")[2], options) as channel:
        request = v1.AnalyzeRequest(model="m", image=body)
        if what == "predict":
            request.prediction.top_k = 1
        else:
            request.explanations.add(method="grad_cam")
        analysis_pb2_grpc.AnalysisServiceStub(channel).Analyze(request)
else:
    request = urllib.request.Request(f"{address}/v1/models/m:{what}", body, {"Content-Type": kind})
    urllib.request.urlopen(request).read()
"""


class Answering(FakeBackend):
    """Answers at once."""

    async def outcome(self, asked):
        maps = [v1.Explanation(method=each.method) for each in asked.work.request.explanations]
        answer = v1.AnalyzeResponse(explanations=maps)
        if asked.work.request.HasField("prediction"):
            answer.prediction.classes.add(index=7)
        return v1.WorkResult(response=answer, final=True)

    async def drained(self, timeout):
        pass

    def running(self):
        return asyncio.timeout(None)


@pytest.fixture
async def addresses(tmp_path, monkeypatch):
    monkeypatch.setattr(serve_module, "Backend", lambda *_: Answering())
    with zipfile.ZipFile(tmp_path / "m-1.mar", "w") as archive:
        archive.writestr("manifest.json", json_format.MessageToJson(MODEL))
    settings = Settings(model_store=tmp_path, log_dir=tmp_path / "logs", rest_port=0, grpc_port=0)
    listening: list[serve_module.Addresses] = []
    serving = asyncio.create_task(serve_until_stopped(settings, listening.append, lambda _: None))
    await until(lambda: listening or serving.done())
    yield listening[0]
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


PICTURE = bytes(range(256)) * (SIZE // 256)
FORM = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + PICTURE + b"\r\n--x--\r\n"
JSON = json.dumps({"top_k": 1, "image": base64.b64encode(PICTURE).decode()}).encode()
WAYS = {
    "REST, the body itself": ("rest", "predict", "image/png", PICTURE, 2),
    "REST, a form": ("rest", "predict", "multipart/form-data; boundary=x", FORM, 2),
    "REST, JSON": ("rest", "predict", "application/json", JSON, 1 + 4 / 3),
    "REST, analysis": ("rest", "explain?method=grad_cam", "image/png", PICTURE, 2),
    "gRPC": ("grpc", "predict", "", PICTURE, 2),
    "gRPC, analysis": ("grpc", "explain", "", PICTURE, 2),
}


async def send(addresses, transport, what, kind, path):
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT, getattr(addresses, transport), what, kind, path)
    )
    assert await client.wait() == 0


@pytest.mark.parametrize(("transport", "what", "kind", "body", "copies"), WAYS.values(), ids=WAYS)
async def test_python_holds_the_body_and_at_most_one_copy(addresses, tmp_path, transport, what, kind, body, copies):
    (tmp_path / "body").write_bytes(body)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await send(addresses, transport, what, kind, tmp_path / "body")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The body was there, so that this measures something.
    assert SIZE <= peak - before <= (copies + SLACK * len(body) / SIZE) * SIZE
