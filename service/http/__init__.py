"""ASGI and HTTP, and nothing else."""
