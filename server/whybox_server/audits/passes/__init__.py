"""One pass over a data set: each picture is measured once, whatever reports are made of it."""
