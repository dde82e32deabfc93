"""Time the operations of bundles, and of baselines that run the same graphs."""
