"""Measurements: timing of operations, and baselines on the same graphs."""
