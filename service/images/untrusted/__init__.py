"""Checks of a file's structure, before any library opens it."""
