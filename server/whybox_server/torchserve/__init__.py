"""Messages of TorchServe's inference API, generated from protos/torchserve."""
