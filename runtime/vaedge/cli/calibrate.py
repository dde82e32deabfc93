"""The command `vaedge calibrate BUNDLE NORMAL_EXAMPLES --out FILE.npz`."""

import argparse
import math
import shlex
from pathlib import Path

from vaedge.cli.arguments import add_bundle_arguments, load_bundle, seed
from vaedge.cli.conditions import add_condition_argument
from vaedge.cli.inputs import add_input_arguments, read_input
from vaedge.cli.output import Output

_ADVICE = (
    "The results of `vaedge detect` are valid only if all these examples are normal, and if the model was not trained "
    "on any of them."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge calibrate`."""
    parser.epilog = f"NORMAL_EXAMPLES must hold at least 20 examples. {_ADVICE}"
    add_bundle_arguments(parser)
    add_condition_argument(parser)
    add_input_arguments(parser, "NORMAL_EXAMPLES")
    parser.add_argument(
        "--seed", type=seed, default=0, help="seed of the random division of the examples into three parts (default: 0)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help=".npz file to write the calibration to; `vaedge detect --calibration` reads it",
    )


def run(args: argparse.Namespace) -> int:
    """Calibrate detection for one variant, write the calibration, and print the measured false-alarm rates."""
    output = Output.of(args.out, ".npz", reads=[args.input])
    vae = load_bundle(args)
    with read_input(args, vae) as (examples, conditions):
        n = len(examples.x)
        calibration = vae.calibrate(examples.x, seed=args.seed, conditions=conditions)
        calibration.save(output.path)
        calibrate, evaluate = len(calibration.scores), len(calibration.evaluation)
        print(f"{output.path}: calibration of variant {vae.variant} from {n:,} normal examples (seed {args.seed})")
        print(f"{n - calibrate - evaluate:,} examples are used to fit the score")
        print(calibration.describe(), _ADVICE, sep="\n")
        variant = () if vae.variant == "fp32" else ("--variant", vae.variant)
        rate = max(0.01, math.ceil(1000 * calibration.smallest_rate) / 1000)
        words = ("vaedge", "detect", args.model, "INPUT", *variant, "--calibration", str(output.path))
        print(f"next: {shlex.join([*words, '--false-alarm-rate', f'{rate:g}'])}")
    return 0
