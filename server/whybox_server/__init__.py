"""Everything around the tensors: gateway, TorchServe backend, packing, command line."""
