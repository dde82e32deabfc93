"""The training loop: phases, state and checkpoints, the run folder's writer, and several processes."""
