"""One request from its bytes to its answer: no HTTP, no torch."""
