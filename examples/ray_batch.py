"""Encode a data set with Ray Data. Each worker loads the bundle once, and encodes parts of the data set.

    pip install 'ray[data]'
    python examples/ray_batch.py models/mnist latents/

The script writes mean and log_var to Parquet files, and prints the number of encoded examples. On a cluster, store the
bundle in a folder that every worker can read, and join the cluster with `ray.init(address="auto")`.
"""

import sys

import numpy as np
import ray

import vaedge


def main(bundle: str, out: str, n: int = 2000) -> int:
    """Encode n random images and return their number. Use `ray.data.read_images` to read real images."""
    shape = vaedge.load(bundle).input_shape
    x = (np.random.default_rng(0).random((n, *shape)) < 0.1).astype(np.float32)
    dataset = ray.data.from_numpy(x).rename_columns({"data": "x"}).repartition(4)
    encoded = dataset.map_batches(vaedge.Batch(bundle, "encode"), batch_size=512, concurrency=2)
    encoded.select_columns(["mean", "log_var"]).write_parquet(out)
    return int(encoded.count())


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(main(*sys.argv[1:]), "examples")
