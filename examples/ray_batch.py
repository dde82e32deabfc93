"""Encode a data set with Ray Data: every worker of the cluster loads the bundle once and streams blocks through it.

    pip install 'ray[data]'
    python examples/ray_batch.py models/mnist latents/

On a cluster the bundle must lie where every worker finds it, and `ray.init(address="auto")` joins it.
"""

import sys

import numpy as np
import ray

import vaedge


def main(model: str, out: str, items: int = 2000) -> int:
    """Encode random pictures into Parquet files; `ray.data.read_images` and friends read real ones."""
    shape = vaedge.load(model).input_shape
    x = (np.random.default_rng(0).random((items, *shape)) < 0.1).astype(np.float32)
    dataset = ray.data.from_numpy(x).rename_columns({"data": "x"}).repartition(4)
    encoded = dataset.map_batches(vaedge.Batch(model, "encode"), batch_size=512, concurrency=2)
    encoded.select_columns(["mean", "log_var"]).write_parquet(out)
    return int(encoded.count())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    print(main(*sys.argv[1:3]), "items")
