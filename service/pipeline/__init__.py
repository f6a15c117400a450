"""One request, from its bytes to its result. Knows no HTTP and no torch."""
