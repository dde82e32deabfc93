"""The command `vaedge evaluate`: evaluate a trained model on the test examples, which training never used."""

import argparse
from pathlib import Path

from vaedge.cli.progress import progress_bar
from vaedge_train.dataset import BINARIZE_SEED, load_test_part
from vaedge_train.errors import ConfigError
from vaedge_train.evaluation import evaluate, flushed_denormals
from vaedge_train.loop.device import add_device_arguments, choose_device, describe_device, limited_threads
from vaedge_train.run_folder import EVALUATION, load_run, write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge evaluate`."""
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder that `vaedge train` wrote")
    parser.add_argument(
        "-k", type=int, default=1000, help="number of draws of z per example (default: 1000; publications use 5000)"
    )
    parser.add_argument(
        "--items", dest="examples", metavar="N", type=int, help="use only the first N test examples (default: all)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default: 0)")
    add_device_arguments(parser)
    parser.add_argument("--data-dir", help="folder of the data set (default: the --data-dir of the training)")


def run(args: argparse.Namespace) -> int:
    """Evaluate a run, print the metrics, and add them to `evaluation.json`, which the export reads.

    The metrics replace earlier metrics with the same k, the same seed, and the same number of examples. Return 0.
    """
    for option, value, minimum in (("-k", args.k, 1), ("--items", args.examples, 1), ("--seed", args.seed, 0)):
        if value is not None and value < minimum:
            raise ConfigError(f"{option} is {value}; expected an integer of at least {minimum}")
    trained = load_run(args.run)
    config = trained.config
    device = choose_device(args.device)
    examples = load_test_part(trained, args.data_dir, args.cache_dir)[: args.examples]
    print(f"evaluating on {describe_device(device)}")
    bar = progress_bar(len(examples), "evaluating", "examples")
    with limited_threads(args.threads), flushed_denormals(), bar as progress:
        result = evaluate(trained.vae.to(device), examples, args.k, args.seed, progress)
    binarized = f"binarized once, seed {BINARIZE_SEED}" if config.binarize == "dynamic" else "as they are"
    with_label = ", each with its label" if config.condition == "label" else ""
    print(f"{result.describe()}\ntest examples {binarized}{with_label}")
    new = {**result.to_dict(), "binarized": binarized}
    others = [row for row in trained.evaluations if any(row[name] != new[name] for name in ("items", "k", "seed"))]
    write_json(args.run / EVALUATION, [*others, new])
    print(
        f"written to {args.run / EVALUATION}; the model card shows one result: that with the most examples, or with "
        "the most draws if the numbers of examples are equal. It also shows the bounds of the same evaluation with "
        "other seeds"
    )
    return 0
