"""How good the networks are: metrics, baselines, comparisons, reports."""
