"""Weights of versions, and the order of versions."""

import pytest

from whybox import v1
from whybox_server.validation.traffic import TrafficError, check_traffic, newest_first, read_traffic


@pytest.mark.parametrize(
    ("versions", "ordered"),
    [
        (["1.0", "1.10", "1.9"], ["1.10", "1.9", "1.0"]),
        (["1.0", "1.0rc1", "1.0.post1"], ["1.0.post1", "1.0", "1.0rc1"]),
        # Equal to `packaging`, so that their text decides.
        (["1.0", "1.0.0"], ["1.0.0", "1.0"]),
        # One without such an order: the text of all decides.
        (["1.9", "1.10", "spring"], ["spring", "1.9", "1.10"]),
        (["a"], ["a"]),
        ([], []),
    ],
)
def test_the_newest_first(versions, ordered):
    assert newest_first(versions) == newest_first(reversed(versions)) == ordered


@pytest.mark.parametrize(
    ("setting", "shares"),
    [
        ("", {}),
        ("m:1.0=90,1.1=10", {"m": {"1.0": 90, "1.1": 10}}),
        (" m : 1.0 = 0.5 , 1.1=2e1 ; n:a=1;", {"m": {"1.0": 0.5, "1.1": 20}, "n": {"a": 1}}),
    ],
)
def test_a_setting(setting, shares):
    assert read_traffic(setting) == shares


def test_a_file_with_a_model_a_line(tmp_path):
    path = tmp_path / "traffic"
    path.write_text("m:1.0=90,1.1=10\n\nn:1=1\n")
    assert read_traffic(f"@{path}") == {"m": {"1.0": 90, "1.1": 10}, "n": {"1": 1}}
    path.write_text("m:1.0=0")
    with pytest.raises(TrafficError, match=f"^WHYBOX_TRAFFIC=@{path}: the weight '0' of m:1.0 is no number above 0"):
        read_traffic(f"@{path}")
    path.unlink()
    with pytest.raises(TrafficError, match=f"{path} cannot be read .*No such file.* name another file"):
        read_traffic(f"@{path}")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("m", "'m' is not the share of a model; write it as NAME:VERSION=WEIGHT"),
        ("m:", "'m:' is not the share of a model; write it as"),
        (":1=1", "':1=1' is not the share of a model; write it as"),
        ("m:1", "'1' of m is no version with a weight; write it as"),
        ("m:=1", "'=1' of m is no version with a weight"),
        ("m:1=1,", "'' of m is no version with a weight"),
        ("m:1=1,1=2", "version 1 of m has its weight twice; write it once"),
        ("m:1=1;m:2=1", "m has its weights twice; write them once"),
        *(
            (f"m:1={weight}", f"the weight {weight!r} of m:1 is no number above 0; leave out a version")
            for weight in ("0", "-1", "nan", "inf", "much", "")
        ),
    ],
)
def test_wrong_settings(setting, told):
    with pytest.raises(TrafficError) as caught:
        read_traffic(setting)
    assert str(caught.value).startswith("WHYBOX_TRAFFIC: ")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ({"n": {"1.0": 1}}, "there is no model 'n' here; served: l, m; pack it, or leave it out"),
        ({"m": {"1.0": 1, "2": 1}}, "there is no version '2' of m here; served: 1.10, 1.0; pack it, or leave it out"),
    ],
)
def test_shares_of_what_is_not_served(shares, told):
    models = [v1.Model(name=name, version=version) for name, version in (("m", "1.0"), ("m", "1.10"), ("l", "1"))]
    check_traffic({"m": {"1.0": 1, "1.10": 1}, "l": {"1": 1}}, models)
    with pytest.raises(TrafficError) as caught:
        check_traffic(shares, models)
    assert str(caught.value) == f"WHYBOX_TRAFFIC: {told}"
