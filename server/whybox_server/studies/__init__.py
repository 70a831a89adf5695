"""Studies: people say whether a label is relevant for a picture, and the error of the model is rectified."""
