"""The parts of every training loop: steps, processes, precision, runs, samples."""
