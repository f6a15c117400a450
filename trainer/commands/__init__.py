"""The commands of `impasto-train`: each reads its options, calls one part, and prints what came of it."""
