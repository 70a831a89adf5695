"""The core between the transports and the backend; it knows no transport and no TorchServe."""
