"""Rules of propagation other than the gradient's."""
