"""Conversion between encoded images and arrays of pixels. It imports neither HTTP nor torch."""
