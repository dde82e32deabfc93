"""Hostile bundles: a fixed corpus, and random mutants of a valid bundle."""
