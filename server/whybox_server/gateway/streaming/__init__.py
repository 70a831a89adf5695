"""How the parts of an answer are sent: merged as they come, in pieces that fit a message."""
