from pathlib import Path

import pytest
from pydantic import ValidationError

from whybox_server.settings import Settings

FIELDS = Settings.model_fields


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch):
    for name in FIELDS:
        monkeypatch.delenv(f"WHYBOX_{name.upper()}", raising=False)


def test_by_default_nobody_but_this_machine_is_listened_to():
    settings = Settings()
    assert (settings.rest_host, settings.rest_port) == ("127.0.0.1", 8000)
    assert (settings.grpc_host, settings.grpc_port) == ("127.0.0.1", 8001)


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_explained_and_read_from_the_environment(name, monkeypatch):
    assert len(FIELDS[name].description) > 20
    value, text = {
        str: ("::1", "::1"),
        int: (1031, "1031"),
        float: (10.5, "10.5"),
        Path: (Path("some/folder"), "some/folder"),
        tuple[str, ...]: (("one", "two"), "one, two"),
    }[FIELDS[name].annotation]
    assert getattr(Settings(), name) != value
    monkeypatch.setenv(f"WHYBOX_{name.upper()}", text)
    assert getattr(Settings(), name) == value


def test_what_is_given_goes_before_the_environment(monkeypatch):
    monkeypatch.setenv("WHYBOX_REST_PORT", "1000")
    assert Settings(rest_port=2000).rest_port == 2000


@pytest.mark.parametrize(
    ("text", "models"), [("", ()), ("a", ("a",)), ("a,b", ("a", "b")), (" a , b, ", ("a", "b")), (",", ())]
)
def test_a_list_is_separated_by_commas(monkeypatch, text, models):
    monkeypatch.setenv("WHYBOX_MODELS", text)
    assert Settings().models == models


def test_what_others_set_is_no_concern(monkeypatch):
    plain = Settings()
    monkeypatch.setenv("WHYBOX_DATA", "/somewhere")
    monkeypatch.setenv("REST_PORT", "1000")
    assert Settings() == plain


def test_settings_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().rest_port = 1


# The lowest and the highest value that is taken, and values that are not.
BOUNDS = {
    "rest_port": ([0, 65535], [-1, 65536, "http", 80.5]),
    "grpc_port": ([0, 65535], [-1, 65536]),
    **dict.fromkeys(
        ["predict_workers", "analyze_workers", "worker_threads", "predict_batch", "analyze_batch", "predict_delay_ms"],
        ([1], [0, -1, 1.5, "many"]),
    ),
    "queue_size": ([1], [0, "long"]),
    "default_timeout": ([0.001, 86_400], [0, -1, 86_401, "inf", "nan"]),
    "max_timeout": ([0.001, 86_400], [0, -1, 86_401, "inf", "nan"]),
    "max_image_bytes": ([1024], [1023, "20 MB"]),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (good, _) in BOUNDS.items() for value in good])
def test_within_the_bounds(name, value, monkeypatch):
    monkeypatch.setenv(f"WHYBOX_{name.upper()}", str(value))
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (_, bad) in BOUNDS.items() for value in bad])
def test_beyond_the_bounds(name, value, monkeypatch):
    monkeypatch.setenv(f"WHYBOX_{name.upper()}", str(value))
    with pytest.raises(ValidationError) as caught:
        Settings()
    [error] = caught.value.errors()
    assert error["loc"] == (name,)


def test_every_number_is_bounded():
    assert {name for name, field in FIELDS.items() if field.annotation in (int, float)} == set(BOUNDS)
