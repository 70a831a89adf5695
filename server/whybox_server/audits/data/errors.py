"""What is wrong with a data set."""


class DataSetError(Exception):
    """Pictures, labels or columns are missing or wrong; the message names the fault and the remedy."""
