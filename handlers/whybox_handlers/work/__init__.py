"""Units of work: from requests to results, in one go or slice by slice."""
