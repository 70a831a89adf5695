"""The part of the system that touches tensors: it runs in a TorchServe worker, in an audit and in a notebook alike."""
