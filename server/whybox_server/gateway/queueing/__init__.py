"""The order in which work is done: a cheap answer never waits for a dear one, and no caller for another's flood."""
