"""What a request may ask, and what it means where it leaves something open."""
