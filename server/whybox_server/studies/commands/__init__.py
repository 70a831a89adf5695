"""The commands of studies: their options, their errors and their exit status."""
