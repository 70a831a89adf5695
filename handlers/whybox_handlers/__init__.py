"""The part of the system that touches tensors: it runs in a TorchServe worker, in an audit and in a notebook alike."""

import os
import sys

# ONNX Runtime reads this when it is first imported. Without it, it writes a device id into the home folder and sends
# reports to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# OpenVINO sends a report whenever it is imported, and leaves an id, unless this package of its is missing. None makes
# Python say that it is.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
