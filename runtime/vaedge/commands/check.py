"""`vaedge check MODEL`."""

import argparse

from vaedge.commands import positive
from vaedge.selftest import check


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge check`."""
    parser.add_argument("model", metavar="MODEL", help="a bundle's folder")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1 or auto")
    parser.add_argument("--threads", type=positive, help="processor threads (default: all this process may use)")


def run(args: argparse.Namespace) -> int:
    """Verify the files and compare with the stored reference; status 1 when this device differs."""
    report = check(args.model, device=args.device, threads=args.threads)
    print(f"{args.model}: every file that the manifest names agrees with its sha256")
    for name, difference in report.differences.items():
        print(f"  {name:<12} difference to the reference {difference:.1e}")
    verdict = "reproduces" if report.passed else "DOES NOT reproduce"
    print(f"{report.device} {verdict} the reference (allowed: {report.tolerance:.0e} of the value, or of 1)")
    return 0 if report.passed else 1
