"""Settings from arguments and from the environment, and their bounds."""

from pathlib import Path

import pytest
from pydantic import ByteSize, ValidationError

from whybox_server.settings import Settings, SettingsError, read_settings

FIELDS = Settings.model_fields


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FIELDS:
        monkeypatch.delenv(f"WHYBOX_{name.upper()}", raising=False)


def test_by_default_the_server_listens_to_this_machine_only() -> None:
    settings = Settings()
    assert (settings.rest_host, settings.rest_port) == ("127.0.0.1", 8000)
    assert (settings.grpc_host, settings.grpc_port) == ("127.0.0.1", 8001)


def test_by_default_idle_connections_outlive_those_of_load_balancers() -> None:
    assert Settings().rest_keep_alive > 60


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_explained_and_read_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(FIELDS[name].description or "") > 20
    examples: dict[object, tuple[object, str]] = {
        str: ("::1", "::1"),
        bool: (True, "true"),
        int: (1031, "1031"),
        int | None: (1031, "1031"),
        float: (10.5, "10.5"),
        float | None: (10.5, "10.5"),
        ByteSize: (2**31, "2GiB"),
        Path: (Path("some/folder"), "some/folder"),
        Path | None: (Path("some/file"), "some/file"),
        tuple[str, ...]: (("one", "two"), "one, two"),
    }
    # Niceness is 19 at most.
    value, text = (7, "7") if name == "analyze_nice" else examples[FIELDS[name].annotation]
    assert getattr(Settings(), name) != value
    monkeypatch.setenv(f"WHYBOX_{name.upper()}", text)
    assert getattr(Settings(), name) == value


def test_arguments_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHYBOX_REST_PORT", "1000")
    assert Settings(rest_port=2000).rest_port == 2000


@pytest.mark.parametrize(
    ("text", "models"), [("", ()), ("a", ("a",)), ("a,b", ("a", "b")), (" a , b, ", ("a", "b")), (",", ())]
)
def test_a_list_is_separated_by_commas(monkeypatch: pytest.MonkeyPatch, text: str, models: tuple[str, ...]) -> None:
    monkeypatch.setenv("WHYBOX_MODELS", text)
    assert Settings().models == models


def test_variables_of_other_programs_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Settings()
    monkeypatch.setenv("WHYBOX_DATA", "/somewhere")
    monkeypatch.setenv("REST_PORT", "1000")
    assert Settings() == plain


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().rest_port = 1


NUMBERS: tuple[object, ...] = (int, int | None, float, float | None, ByteSize)
# The lowest and the highest valid value, and invalid values.
BOUNDS: dict[str, tuple[list[float], list[object]]] = {
    "rest_port": ([0, 65535], [-1, 65536, "http", 80.5]),
    "grpc_port": ([0, 65535], [-1, 65536]),
    **dict.fromkeys(
        ["predict_workers", "analyze_workers", "worker_threads", "predict_batch", "analyze_batch", "predict_delay_ms"],
        ([1], [0, -1, 1.5, "many"]),
    ),
    "rest_keep_alive": ([1, 3600], [0, 3601, 1.5]),
    "predict_queue_seconds": ([0.1, 3600], [0, 3601, "long"]),
    "analyze_queue_seconds": ([0.1, 3600], [0, 3601, "long"]),
    "quota_seconds": ([0, 0.5], [-1, "much"]),
    "bodies_bytes": ([2**20], ["1023KiB", "much"]),
    "grpc_keep_alive": ([1, 86_400], [0, 86_401, 1.5]),
    "grpc_upload_seconds": ([0.001, 3600], [0, -1, 3601, "nan"]),
    "cache_bytes": ([0, 1], [-1, "much"]),
    "default_timeout": ([0.001, 86_400], [0, -1, 86_401, "inf", "nan"]),
    "max_timeout": ([0.001, 86_400], [0, -1, 86_401, "inf", "nan"]),
    "operation_hours": ([0.001, 8760], [0, -1, 8761, "nan"]),
    "operations_running": ([1, 2000], [0, 2001, 1.5]),
    "operations_stored": ([1, 10_000], [0, 10_001, 1.5]),
    "operation_timeout": ([0.001, 86_400], [0, -1, 86_401, "nan"]),
    "drain_seconds": ([0, 3600], [-1, 3601, "nan"]),
    "analyze_nice": ([0, 19], [-1, 20]),
    "worker_memory": ([2**30], ["1023MiB", "much"]),
    "max_image_bytes": ([1024], [1023, "20 MB"]),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (good, _) in BOUNDS.items() for value in good])
def test_within_the_bounds(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"WHYBOX_{name.upper()}", str(value))
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (_, bad) in BOUNDS.items() for value in bad])
def test_beyond_the_bounds(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"WHYBOX_{name.upper()}", str(value))
    with pytest.raises(ValidationError) as caught:
        Settings()
    [error] = caught.value.errors()
    assert error["loc"] == (name,)


def test_every_number_is_bounded() -> None:
    assert {name for name, field in FIELDS.items() if field.annotation in NUMBERS} == set(BOUNDS)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_variable_is_unset(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Settings()
    monkeypatch.setenv(f"WHYBOX_{name.upper()}", text)
    assert Settings() == plain


@pytest.mark.parametrize("name", ["rest_port", "grpc_port"])
@pytest.mark.parametrize("text", ["tcp://10.96.0.7:80", "udp://10.96.0.7:80", "sctp://[fd00::7]:80"])
def test_what_kubernetes_sets_for_a_service_is_ignored(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plain = Settings()
    monkeypatch.setenv(f"WHYBOX_{name.upper()}", text)
    assert Settings() == plain
    assert getattr(read_settings(**{name: 1000}), name) == 1000
    assert f"WHYBOX_{name.upper()}={text} is ignored" in caplog.text
    assert f"--{name.replace('_', '-')}" in caplog.text


@pytest.mark.parametrize("text", ["http://10.96.0.7:80", "10.96.0.7:80", "tcp:80"])
def test_no_other_port_is_ignored(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHYBOX_REST_PORT", text)
    with pytest.raises(SettingsError, match=rf"WHYBOX_REST_PORT='{text}'"):
        read_settings()


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (_, bad) in BOUNDS.items() for value in bad])
def test_an_error_names_the_variable_and_the_value(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"WHYBOX_{name.upper()}", str(value))
    with pytest.raises(SettingsError, match=rf"^{name}: WHYBOX_{name.upper()}='{value}' should be "):
        read_settings()


def test_an_error_names_the_value_of_an_argument() -> None:
    with pytest.raises(SettingsError, match=r"^grpc_port: 65536 should be less than or equal to 65535$"):
        read_settings(grpc_port=65536)
