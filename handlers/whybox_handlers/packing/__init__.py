"""What is checked, tested and exported when a model is packed."""
