"""Train a variational autoencoder in PyTorch: data -> run folder.

>>> from vaedge_train import TrainConfig, train
>>> run = train(TrainConfig(hidden=(400,), epochs=10), "runs/first")
"""

import os

# Threads that wait actively for a long time make training many times slower if another process keeps a core busy, and
# threads that do not wait actively make it slower otherwise. This number of spins is a compromise. The OpenMP library
# of torch reads the variables when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from vaedge_train.config import TrainConfig
from vaedge_train.errors import ConfigError, DataError, NonFiniteError, OutOfMemoryError, RunError, TrainError
from vaedge_train.evaluation import Evaluation, evaluate
from vaedge_train.loop.trainer import train
from vaedge_train.model.vae import VAE, Terms
from vaedge_train.run_folder import Run, load_run

__all__ = [
    "VAE",
    "ConfigError",
    "DataError",
    "Evaluation",
    "NonFiniteError",
    "OutOfMemoryError",
    "Run",
    "RunError",
    "Terms",
    "TrainConfig",
    "TrainError",
    "evaluate",
    "load_run",
    "train",
]
