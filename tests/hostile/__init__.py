"""Hostile bundles: a corpus of them, and random mutants."""
