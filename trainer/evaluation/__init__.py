"""Evaluation of networks: metrics, baselines, comparisons, reports."""
