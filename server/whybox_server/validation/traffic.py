"""Which version of a model a request takes that names none, as the operator says."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.version import InvalidVersion, Version

from whybox import v1

Shares = Mapping[str, Mapping[str, float]]
"""Weights of versions, all above 0, by model and version; versions without one take no request that names none."""

_FORM = "write it as NAME:VERSION=WEIGHT,VERSION=WEIGHT, such as m:1.0=90,1.1=10, with a semicolon between models"
_FILE = "@"


class TrafficError(Exception):
    """The setting is wrong; the message says what would be right."""


def newest_first(versions: Iterable[str]) -> list[str]:
    """Versions in the order of `packaging.version`; in that of their text unless all of them have such an order."""
    given = sorted(versions, reverse=True)
    try:
        # Versions that are equal, such as 1.0 and 1.0.0, stay in the order of their text.
        return sorted(given, key=Version, reverse=True)
    except InvalidVersion:
        return given


def read_traffic(setting: str) -> dict[str, dict[str, float]]:
    """The shares that a setting gives.

    Args:
        setting: "NAME:VERSION=WEIGHT,...;...", or "@" and the path of a file with the same, one model a line. An empty
            one gives no shares.

    Raises:
        TrafficError: The file cannot be read, or its text or the setting has another form.
    """
    if not setting.startswith(_FILE):
        return _parsed(setting, "WHYBOX_TRAFFIC")
    path = Path(setting.removeprefix(_FILE))
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise TrafficError(
            f"WHYBOX_TRAFFIC={setting}: {path} cannot be read ({error}); name another file, or write the weights in its"
            " place"
        ) from error
    return _parsed(text.replace("\n", ";"), f"WHYBOX_TRAFFIC={setting}")


def check_traffic(shares: Shares, models: Iterable[v1.Model]) -> None:
    """Checks that shares name served models and versions.

    Raises:
        TrafficError: There is no such model or version.
    """
    served: dict[str, list[str]] = {}
    for model in models:
        served.setdefault(model.name, []).append(model.version)
    for name, weights in shares.items():
        if name not in served:
            raise TrafficError(
                f"WHYBOX_TRAFFIC: there is no model {name!r} here; served: {', '.join(sorted(served))}; pack it, or"
                " leave it out"
            )
        for version in weights:
            if version not in served[name]:
                raise TrafficError(
                    f"WHYBOX_TRAFFIC: there is no version {version!r} of {name} here; served:"
                    f" {', '.join(newest_first(served[name]))}; pack it, or leave it out"
                )


def _parsed(text: str, where: str) -> dict[str, dict[str, float]]:
    shares: dict[str, dict[str, float]] = {}
    for entry in filter(None, map(str.strip, text.split(";"))):
        name, colon, weights = (part.strip() for part in entry.partition(":"))
        if not (name and colon and weights):
            raise TrafficError(f"{where}: {entry!r} is not the share of a model; {_FORM}")
        if name in shares:
            raise TrafficError(f"{where}: {name} has its weights twice; write them once, separated by commas")
        shares[name] = _weights(weights, name, where)
    return shares


def _weights(text: str, name: str, where: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for each in text.split(","):
        version, equals, number = (part.strip() for part in each.partition("="))
        if not (version and equals):
            raise TrafficError(f"{where}: {each.strip()!r} of {name} is no version with a weight; {_FORM}")
        if version in weights:
            raise TrafficError(f"{where}: version {version} of {name} has its weight twice; write it once")
        try:
            weights[version] = float(number)
        except ValueError:
            weights[version] = math.nan
        if not 0 < weights[version] < math.inf:
            raise TrafficError(
                f"{where}: the weight {number!r} of {name}:{version} is no number above 0; leave out a version that"
                " shall take nothing"
            )
    return weights
