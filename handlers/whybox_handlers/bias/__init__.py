"""What a served answer says about the biases of its model."""
