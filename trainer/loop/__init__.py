"""What every training loop needs: steps, processes, precision, runs, samples."""
