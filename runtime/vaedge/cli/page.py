"""The command `vaedge page BUNDLE`."""

import argparse
from pathlib import Path

from vaedge.cli.output import Output
from vaedge.files.atomic import write_atomically
from vaedge.web.page import build_page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge page`."""
    parser.add_argument("model", metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="HTML file to write")
    parser.add_argument(
        "--onnxruntime-web",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder `dist` of the npm package onnxruntime-web: run `npm install onnxruntime-web`, and give "
        "node_modules/onnxruntime-web/dist",
    )
    parser.add_argument(
        "--variants",
        nargs="+",
        default=(),
        metavar="NAME",
        help="variants of the bundle to put into the page (default: only the smallest variant); the page starts with "
        "the first variant in the list",
    )


def run(args: argparse.Namespace) -> int:
    """Write one HTML file that shows the bundle and runs it in a browser without a network."""
    output = Output.of(args.out, ".html")
    page = build_page(args.model, args.onnxruntime_web, args.variants)
    write_atomically(output.path, page)
    print(f"{output.path}: {len(page):,} bytes; open it in a browser")
    return 0
