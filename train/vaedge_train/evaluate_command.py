"""`vaedge evaluate RUN`: the audit of a trained model, on the test items that training never saw."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from vaedge_train.data.examples import scale
from vaedge_train.dataset import BINARIZE_SEED, load_dataset
from vaedge_train.errors import ConfigError, DataError, TrainError
from vaedge_train.evaluation import evaluate
from vaedge_train.run_folder import EVALUATION, load_run, write_atomically

ERRORS = (TrainError,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge evaluate`."""
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder that `vaedge train` wrote")
    parser.add_argument("-k", type=int, default=1000, help="draws per item (default: 1000; publications use 5000)")
    parser.add_argument("--items", type=int, help="the first so many test items only (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    parser.add_argument("--data-dir", help="where the data set lies (default: where it lay in training)")


def run(args: argparse.Namespace) -> int:
    """Evaluate, print, and add to the run's `evaluation.json`, which the export puts into the manifest.

    Another seed, or another k, is added beside what is there; the same ones take its place.
    """
    for name in ("k", "items"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ConfigError(f"{name} is {getattr(args, name)}; expected at least 1")
    if args.seed < 0:
        raise ConfigError(f"seed is {args.seed}; expected at least 0")
    trained = load_run(args.run)
    config = replace(trained.config, data_dir=args.data_dir or trained.config.data_dir)
    test = load_dataset(config).test
    if not np.array_equal(scale(test[: len(trained.examples["x"])].x).numpy(), trained.examples["x"]):
        raise DataError(f"{config.dataset} is not what {args.run} was trained on: its test items are others")
    items = test[: args.items]
    torch.set_flush_denormal(True)  # the far tails of a mixture's components are not worth five times the time
    with tqdm(total=len(items), unit="item", disable=None) as bar:
        result = evaluate(trained.vae, items, args.k, args.seed, bar.update)
    binarized = f"binarised once, seed {BINARIZE_SEED}" if config.binarize == "dynamic" else "as they are"
    given = ", each given its label" if config.condition == "label" else ""
    print(f"{result.describe()}\ntest items {binarized}{given}")
    print(f"kept in {args.run / EVALUATION}; the card shows the one of the most items and draws, and its other seeds")
    found = {**result.to_dict(), "binarized": binarized}
    kept = [row for row in trained.evaluations if any(row[name] != found[name] for name in ("items", "k", "seed"))]
    write_atomically(args.run / EVALUATION, (json.dumps([*kept, found], indent=2) + "\n").encode())
    return 0
