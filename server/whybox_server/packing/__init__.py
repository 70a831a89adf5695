"""From a model spec to the archive that TorchServe serves."""
