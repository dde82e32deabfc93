"""The training loop, the state of a run, the writer of the run folder, and training in several processes."""
