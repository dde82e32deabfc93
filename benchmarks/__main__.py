"""Measure the speed of vaedge and of its baselines.

`make bench` runs `python benchmarks`. The script writes the tables to results.md in this folder. `--only` selects one
section.
"""

import argparse
import os
import platform
import re
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # must be set before ONNX Runtime is imported

import processes
import runtime
import training

from vaedge.engine.cpus import describe_cpu

HERE = Path(__file__).parent
SECTIONS: dict[str, tuple[str, Callable[[argparse.Namespace], list[str]]]] = {
    "runtime": ("Reconstruction", runtime.main),
    "processes": ("Processes", processes.main),
    "training": ("Training", training.main),
}

_HEAD = """# Benchmarks

`make bench` writes this file. The command replaces the tables of the same CPU, and keeps the tables of other CPUs.
vaedge and the baselines take turns in every round. Each round gives a ratio, and the tables show the median of these
ratios. Other machines give other times, but similar ratios. Lower is better.
"""


def main() -> None:
    """Measure the sections and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SECTIONS, help="measure only one section")
    parser.add_argument("--model", default=str(HERE.parent / "models" / "article"), help="folder of the bundle to run")
    parser.add_argument(
        "--data-dir", default="data", help="folder in which torchvision finds MNIST, for the training section"
    )
    parser.add_argument("--rounds", type=int, default=5, help="number of times that each measurement is repeated")
    parser.add_argument("--samples", type=int, default=1_000_000, help="number of samples that are streamed to disk")
    args = parser.parse_args()
    path = HERE / "results.md"
    found = re.split(r"^## (.*)\n", path.read_text(), flags=re.MULTILINE)[1:] if path.exists() else []
    tables = dict(zip(found[::2], found[1::2], strict=True))
    machine = f"{describe_cpu()}, {os.cpu_count()} CPUs, {platform.system()}"
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
