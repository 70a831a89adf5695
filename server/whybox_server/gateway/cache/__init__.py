"""What earlier calls of the same caller were answered, part by part."""
