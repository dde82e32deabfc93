"""Train a variational autoencoder (VAE) in PyTorch. The result is a folder with the weights and the metrics.

>>> from vaedge_train import TrainConfig, train
>>> run = train(TrainConfig(hidden=(400,), epochs=10), "runs/first")
"""

import os

# GOMP_SPINCOUNT limits how long a thread waits actively before it sleeps. With a long active wait, training is many
# times slower if another process keeps a core busy. Without an active wait, training is slower if the cores are free.
# This value is a compromise. The OpenMP library of torch reads the variables when torch is imported.
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
