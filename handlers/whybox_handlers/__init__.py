"""The part of the system that touches tensors: it runs in a TorchServe worker, in an audit and in a notebook alike."""

import os

# ONNX Runtime reads this when it is first imported. Without it, it writes a device id into the home folder and sends
# reports to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
