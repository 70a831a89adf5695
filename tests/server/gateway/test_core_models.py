"""The served models, their pools, and requests that are refused before any pool."""

import pytest

from server.gateway.calls import CALLS, LIMIT, request
from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway.audits import AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Deployment

pytestmark = pytest.mark.usefixtures("_nothing_leaks")


@pytest.mark.parametrize(
    ("asked", "error", "field"),
    [
        (request(model="x", prediction={}), errors.NotFoundError, "model"),
        (request(version="1", prediction={}), errors.NotFoundError, "version"),
        (request(), errors.InvalidRequestError, None),
        (request(image=bytes(LIMIT + 1), prediction={}), errors.PictureTooLargeError, "image"),
    ],
)
@pytest.mark.parametrize("call", CALLS)
async def test_what_is_refused_reaches_no_pool(gateway, backend, call, asked, error, field):
    calling = call(gateway, asked)
    with pytest.raises(error) as caught:
        await calling.task
    assert caught.value.field == field
    assert backend.asked == []


MODELS = [v1.Model(name=name, version="2", labels=["cat"], num_classes=1) for name in ("b", "a", "c")]


@pytest.mark.parametrize(
    ("name", "version", "reason", "field", "words"),
    [
        ("d", "", "UNKNOWN_MODEL", "model", ["'d'", "served: a, b, c"]),
        ("", "", "UNKNOWN_MODEL", "model", ["''", "served: a, b, c"]),
        ("A", "2", "UNKNOWN_MODEL", "model", ["'A'"]),
        ("a", "3", "UNKNOWN_VERSION", "version", ["'2'", "not '3'", "leave the version out"]),
        ("x" * 100_000, "", "UNKNOWN_MODEL", "model", ["xxx…'"]),
        ("a", "x" * 100_000, "UNKNOWN_VERSION", "version", ["xxx…'"]),
    ],
)
async def test_unknown_models_and_versions(backend, metrics, spool, name, version, reason, field, words):
    gateway = Gateway(Deployment(MODELS, backend, AuditFiles({})), metrics, spool, max_image_bytes=LIMIT)
    with pytest.raises(errors.NotFoundError) as caught:
        gateway.get_model(name, version)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    for word in words:
        assert word in caught.value.message
    # It travels in a header.
    assert len(caught.value.to_status().SerializeToString()) < 1000


async def test_models(backend, metrics, spool):
    gateway = Gateway(Deployment(MODELS, backend, AuditFiles({})), metrics, spool, max_image_bytes=LIMIT)
    assert gateway.list_models() == [v1.Model(name=name, version="2", num_classes=1) for name in "abc"]
    for model in MODELS:
        assert gateway.get_model(model.name) == gateway.get_model(model.name, "2") == model
    assert MODELS[0].labels == ["cat"]


async def test_the_pools_are_watched(gateway, backend, samples):
    backend.states = {"m": {"2": {"predict": "ready", "analyze": "starting"}}}
    assert gateway.readiness() == backend.states
    assert samples("whybox_pool_ready") == {
        '{model="m",pool="predict",version="2"}': 1,
        '{model="m",pool="analyze",version="2"}': 0,
    }
    busy = '{model="m",pool="analyze",version="1"}'
    assert samples("whybox_queue_works") == {busy: 3}
    assert samples("whybox_queue_seconds") == {busy: 4.5}
