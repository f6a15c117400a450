"""Markdown and plots for docs/results.md."""
