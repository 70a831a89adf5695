"""From the calibration of an audit to the thresholds that are packed with its model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet

from whybox import v1
from whybox_server.audits.calibration.pictures import PARTS
from whybox_server.audits.calibration.run import SCORES
from whybox_server.audits.calibration.scoring import MAX_THRESHOLDS, kept
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.passes.pictures import digest_of


def read_calibration(manifest: Mapping[str, Any]) -> v1.Calibration:
    """What the manifest of an audit, which has a calibration, says of it."""
    found = manifest["calibration"]
    return v1.Calibration(
        state=found["state"],
        data_set=found["data_set"],
        pictures=found["usable"],
        n=found["n"],
        coverage_n=found["coverage_n"],
        methods=found["methods"],
    )


def read_thresholds(folder: Path, manifest: Mapping[str, Any], most: int = MAX_THRESHOLDS) -> list[v1.SetThresholds]:
    """The thresholds of each calibrated method; empty if there was too little data.

    Args:
        folder: What `whybox-server audit` wrote.
        manifest: Its manifest, which has a calibration.
        most: The largest number of thresholds of a method.

    Raises:
        DataSetError: The file with the scores belongs to another audit.
        OSError: It is missing.
    """
    path = folder / SCORES
    if digest_of(path) != manifest["files"][SCORES]["sha256"]:
        raise DataSetError(f"{path} is not the table that the audit in {folder} was made with; run the audit again")
    methods = manifest["calibration"]["methods"]
    table = parquet.read_table(path, columns=["part", "label", "predicted", *methods])
    first, second = (table.filter(np.asarray(table["part"]) == part) for part in PARTS)
    top = np.asarray(second["label"]) == np.asarray(second["predicted"])
    thresholds = []
    for method in methods:
        values = kept(np.asarray(first[method]), most)
        # A set has the right class if its score is low enough, or if it is the most probable one.
        others = np.sort(np.asarray(second[method])[~top])
        covered = top.sum() + np.searchsorted(others, values, side="right")
        thresholds.append(v1.SetThresholds(method=method, thresholds=values, covered=covered.tolist()))
    return thresholds
