"""What a request may ask, what it means where it leaves something open, and the archives of the models it may name."""
