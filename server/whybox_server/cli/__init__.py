"""The command `whybox-server`."""
