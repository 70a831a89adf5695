"""Between the values of Python and the messages of `whybox.v1`."""
