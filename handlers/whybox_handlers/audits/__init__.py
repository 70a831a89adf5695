"""What a whole data set reveals: work of audits, never of a worker."""
