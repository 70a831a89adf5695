"""Maps of importance: their drawing, their likeness, their way onto the wire."""
