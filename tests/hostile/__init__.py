"""Bundles that mean harm: a corpus of them, and mutants at random."""
