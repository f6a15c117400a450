"""The networks that are served: files, digests, weights in memory, averages."""
