"""The command `vaedge check BUNDLE`."""

import argparse

import vaedge
from vaedge.cli.arguments import DEVICE_HELP, THREADS_HELP, positive

FAILED = 3  # the exit status if this device does not reproduce the reference


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge check`."""
    parser.add_argument("model", metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument("--device", default="cpu", help=DEVICE_HELP)
    parser.add_argument("--threads", type=positive, help=THREADS_HELP)
    parser.add_argument("--variant", help="check only this variant (default: all variants of the bundle)")


def run(args: argparse.Namespace) -> int:
    """Verify the files, compare the outputs on this device with the stored outputs, and print the differences."""
    report = vaedge.check(args.model, device=args.device, threads=args.threads, variant=args.variant)
    print(f"{args.model}: every file in the manifest matches its SHA-256")
    for variant, row in report.differences.items():
        for name, difference in row.items():
            print(f"  {variant:<6}{name:<12} difference from the reference: {difference:.2g} of the tolerance")
    for variant in report.unchecked:
        print(
            f"  {variant:<6}not compared: bundles of format 1 store no reference for it; see `vaedge export --upgrade`"
        )
    verdict = "reproduces" if report.passed else "DOES NOT reproduce"
    print(f"{report.device} {verdict} the reference")
    return 0 if report.passed else FAILED
