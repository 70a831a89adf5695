"""From a data set and a packed model to the folder of a study."""
