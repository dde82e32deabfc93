"""Everything that vaedge says about speed, measured side by side: `python benchmarks`, which `make bench` calls.

Writes results.md beside this file. `--only` measures one section alone.
"""

import argparse
import os
import platform
import re
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before anything imports ONNX Runtime

import processes
import runtime
import training

from vaedge.engine.cpus import processor

HERE = Path(__file__).parent
SECTIONS: dict[str, tuple[str, Callable[[argparse.Namespace], list[str]]]] = {
    "runtime": ("Reconstruction", runtime.main),
    "processes": ("Processes", processes.main),
    "training": ("Training", training.main),
}

_HEAD = """# Benchmarks

Written by `make bench`, which replaces what it measured on the same processor before, and keeps other processors' tables.
Every ratio is the median of the ratios of rounds in which the contestants took turns; times of other machines will differ,
ratios less so. Lower is better.
"""


def main() -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SECTIONS, help="measure one section")
    parser.add_argument("--model", default=str(HERE.parent / "models" / "article"), help="the bundle to run")
    parser.add_argument("--data-dir", default="data", help="where torchvision finds MNIST, for the training section")
    parser.add_argument("--rounds", type=int, default=5, help="how often each measurement is taken, in turn")
    parser.add_argument("--samples", type=int, default=1_000_000, help="how many are streamed to disk")
    args = parser.parse_args()
    path = HERE / "results.md"
    found = re.split(r"^## (.*)\n", path.read_text(), flags=re.MULTILINE)[1:] if path.exists() else []
    tables = dict(zip(found[::2], found[1::2], strict=True))
    machine = f"{processor()}, {os.cpu_count()} processors, {platform.system()}"
    for name, (title, measure) in SECTIONS.items():
        if args.only in (None, name):
            tables[f"{title}: {machine}"] = "\n" + "\n".join(measure(args)) + "\n"
            print(tables[f"{title}: {machine}"], flush=True)
            titles = [title for title, _ in SECTIONS.values()]
            ordered = sorted(tables, key=lambda heading: titles.index(heading.partition(":")[0]))
            parts = [f"## {heading}\n\n{tables[heading].strip()}\n" for heading in ordered]
            path.write_text("\n".join([_HEAD, *parts]))


if __name__ == "__main__":
    main()
