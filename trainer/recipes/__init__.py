"""One training recipe per module."""
