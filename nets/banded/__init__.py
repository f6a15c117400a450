"""The same networks band by band, in fast forms for a CPU, with the same answers."""
