"""Bytes to pixels and back: no HTTP, no torch."""
