"""How little, and what else, changes the answer: attacks, corruptions, certificates."""
