"""Styles that are learned from paintings: the queue, the trainer process, and the styles that came of it."""
