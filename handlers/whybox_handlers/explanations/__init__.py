"""Why the model answered as it did: maps, regions, and how far they can be trusted."""
