"""Digests, by which files and parameters are known again."""

import hashlib


def sha256(content: bytes) -> str:
    """SHA-256 in 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
