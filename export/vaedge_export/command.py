"""The command `vaedge export`."""

import argparse
import math
import shlex
from pathlib import Path

from vaedge.bundle.manifest import FORMAT_VERSION
from vaedge.bundle.reader import read_manifest
from vaedge.files.images import is_image_shape
from vaedge_export.folder import require_absent
from vaedge_export.from_run import export_run
from vaedge_export.triton import write_triton
from vaedge_export.upgrade import upgrade_bundle
from vaedge_export.variants.quantize import QUANTIZERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge export`."""
    parser.add_argument("run", metavar="RUN", nargs="?", type=Path, help="run folder of `vaedge train`")
    parser.add_argument("--out", type=Path, help="folder of the new bundle, for example models/first")
    parser.add_argument(
        "--variants",
        default="fp32",
        metavar="NAMES",
        help=f"comma-separated variants to write in addition to fp32: {', '.join(QUANTIZERS)} (default: none)",
    )
    parser.add_argument(
        "--allow-loss",
        type=float,
        metavar="NATS",
        help="maximum loss of a variant, in nats per example (default: the larger one of 0.3 and a thousandth of "
        "the absolute value of the ELBO)",
    )
    parser.add_argument(
        "--fixed-batch",
        type=int,
        metavar="N",
        help="also write copies of the float32 graphs with the fixed batch size N, for engines that require one",
    )
    parser.add_argument(
        "--triton", type=Path, metavar="DIR", help="also write a model repository for the Triton inference server"
    )
    parser.add_argument(
        "--calibration",
        action="store_true",
        help="read the data set of the run again, and calibrate anomaly detection on its test part",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="with --calibration: folder of the data set (default: the --data-dir of the training)",
    )
    parser.add_argument(
        "--cache-dir",
        type=Path,
        metavar="DIR",
        help="with --calibration: folder for decoded images, if the data set is an image folder (default: the folder "
        "cache beside the run)",
    )
    parser.add_argument("--note", help="one or two sentences that the model card shows with the metrics")
    parser.add_argument(
        "--upgrade",
        type=Path,
        metavar="BUNDLE",
        help="rewrite a bundle of an older format in place, in the newest format; the ONNX files do not change",
    )
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Export a run, or upgrade a bundle, and print the next step."""
    if args.upgrade is not None:
        if args.run is not None or args.out is not None:
            args.usage_error("--upgrade rewrites the bundle in place: give neither RUN nor --out")
        upgrade_bundle(args.upgrade)
        print(f"{args.upgrade}: upgraded to format {FORMAT_VERSION} and checked")
        return 0
    if args.run is None or args.out is None:
        args.usage_error("RUN or --out is missing: give both, or give --upgrade BUNDLE")
    if args.triton is not None:
        require_absent(args.triton)
    export_run(
        args.run,
        args.out,
        variants=[name.strip() for name in args.variants.split(",")],
        allow_loss=args.allow_loss,
        fixed_batch=args.fixed_batch,
        note=args.note,
        calibration=args.calibration,
        data_dir=args.data_dir,
        cache_dir=args.cache_dir,
        progress=True,
    )
    if args.triton is not None:
        write_triton(args.out, args.triton)
        print(f"{args.triton}: model repository for Triton")
    print(f"{args.out}: exported and verified; next: {_next_command(args.out)}")
    if args.calibration:
        print(f"to detect anomalies: vaedge detect {shlex.quote(str(args.out))} INPUT --false-alarm-rate RATE")
    return 0


def _next_command(bundle: Path) -> str:
    """Return the `vaedge sample` command to try next. It writes samples in a format that fits the data."""
    manifest = read_manifest(bundle)[0]
    words = ["vaedge", "sample", str(bundle)]
    for name, condition in manifest.conditions.items():
        value = condition.classes[0] if condition.classes else "0"
        words += ["--condition", f"{name}={','.join([value] * math.prod(condition.shape))}"]
    is_table = len(manifest.input_shape) == 1
    suffix = ".png" if is_image_shape(manifest.input_shape) else ".csv" if is_table else ".npy"
    return shlex.join([*words, "--out", f"samples{suffix}"])
