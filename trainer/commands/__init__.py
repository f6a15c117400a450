"""The commands of `impasto-train`: each reads its options, calls one part of the trainer, and prints the result."""
