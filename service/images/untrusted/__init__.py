"""Structural checks of files before any library opens them."""
