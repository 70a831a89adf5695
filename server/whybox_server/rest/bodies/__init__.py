"""Bodies of requests: a picture and its options, in each of the ways to send them; and how bodies are compressed."""
