"""Encoded pictures to tensors and back."""
