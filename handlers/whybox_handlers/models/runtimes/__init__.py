"""What computes: ONNX Runtime, OpenVINO, and torch."""
