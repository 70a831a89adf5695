"""Results in words, for the command line and the contact sheet."""
