"""`impasto bulk`."""
