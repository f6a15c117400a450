"""The models: which checkpoints are served, and their weights in memory. See `registry`."""
