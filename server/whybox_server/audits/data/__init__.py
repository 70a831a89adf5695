"""The pictures of a data set, with what a table says about them."""
