"""Probability in numpy: prior, posterior, likelihoods, bounds, and random numbers."""
