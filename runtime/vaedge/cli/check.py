"""`vaedge check MODEL`."""

import argparse

from vaedge._check import check
from vaedge.cli.arguments import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge check`."""
    parser.add_argument("model", metavar="MODEL", help="a bundle's folder")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1 or auto")
    parser.add_argument("--threads", type=positive, help="CPU threads (default: all this process may use)")
    parser.add_argument("--variant", help="run this variant only (default: all)")


def run(args: argparse.Namespace) -> int:
    """Verify the files and compare with the stored references; status 3 when this device differs."""
    report = check(args.model, device=args.device, threads=args.threads, variant=args.variant)
    print(f"{args.model}: every file that the manifest names agrees with its SHA-256")
    for variant, row in report.differences.items():
        for name, difference in row.items():
            print(f"  {variant:<6}{name:<12} difference from the reference: {difference:.2g} of the tolerance")
    for variant in report.unchecked:
        print(
            f"  {variant:<6}not compared: bundles of format 1 store no reference for it; see `vaedge export --upgrade`"
        )
    verdict = "reproduces" if report.passed else "DOES NOT reproduce"
    print(f"{report.device} {verdict} the reference")
    return 0 if report.passed else 3
