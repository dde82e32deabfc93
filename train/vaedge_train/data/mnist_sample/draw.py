"""Choose digits of MNIST at random, and write them to `digits.npz`: `python draw.py DATA_DIR`.

DATA_DIR is the folder in which torchvision stores MNIST. Every run chooses the same digits, and writes the same bytes.
"""

import sys
from pathlib import Path

import numpy as np

from vaedge_train.data.torchvision_data import import_torchvision

SEED = 0
COUNTS = {"train": 8000, "test": 2000}


def main(data_dir: str) -> None:
    """Choose digits without replacement, and write them to `digits.npz` beside this file, in the order of MNIST.

    Args:
        data_dir: The folder in which torchvision stores MNIST.
    """
    import_torchvision()
    from torchvision.datasets import MNIST

    rng = np.random.default_rng(SEED)
    arrays = {}
    for part, count in COUNTS.items():
        mnist = MNIST(data_dir, train=part == "train", download=True)
        chosen = np.sort(rng.choice(len(mnist), count, replace=False))
        arrays[f"{part}_images"] = mnist.data.numpy()[chosen]
        arrays[f"{part}_labels"] = mnist.targets.numpy()[chosen].astype(np.uint8)
    np.savez_compressed(Path(__file__).with_name("digits.npz"), **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
