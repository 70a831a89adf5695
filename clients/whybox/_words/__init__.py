"""Results in words; the command line and the contact sheet both speak them."""
