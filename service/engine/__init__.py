"""The devices: what they compute, in which order, with how many threads."""
