"""What a data set reveals about a model, measured offline."""
