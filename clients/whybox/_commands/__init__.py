"""The commands of `whybox`, and how they print and save results."""
