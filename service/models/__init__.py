"""The models: which checkpoints are served, their weights in memory, and new styles (`learning`). See `registry`."""
