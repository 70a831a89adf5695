"""Passes through the network: computed together, accounted for, stopped in time."""
