"""Everything that vaedge says about speed, measured side by side: `python benchmarks`, which `make bench` calls.

Writes results.md beside this file. `--only` repeats one section, and keeps the others as they were.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before anything imports ONNX Runtime

import processes
import runtime
import training

from vaedge.engine.cpus import processor

HERE = Path(__file__).parent
SECTIONS: dict[str, Callable[[argparse.Namespace], list[str]]] = {
    "runtime": runtime.main,
    "processes": processes.main,
    "training": training.main,
}


def main() -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SECTIONS, help="measure one section")
    parser.add_argument("--model", default=str(HERE.parent / "models" / "article"), help="the bundle to run")
    parser.add_argument("--data-dir", default="data", help="where torchvision finds MNIST, for the training section")
    parser.add_argument("--rounds", type=int, default=5, help="how often each measurement is taken, in turn")
    parser.add_argument("--samples", type=int, default=1_000_000, help="how many are streamed to disk")
    args = parser.parse_args()
    kept = HERE / "results.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    for name, measure in SECTIONS.items():
        if args.only in (None, name):
            lines = measure(args)
            print("\n".join(lines), flush=True)
            results[name] = lines
            kept.write_text(json.dumps(results, indent=1) + "\n")
    head = [
        "# Benchmarks",
        "",
        f"Written by `make bench` on {processor()}, {os.cpu_count()} processors, {platform.system()}. Every ratio is the "
        "median of the ratios of rounds in which the contestants took turns; times of other machines will differ, ratios "
        "less so. Lower is better.",
    ]
    sections = [line for name in SECTIONS if name in results for line in ["", *results[name]]]
    (HERE / "results.md").write_text("\n".join([*head, *sections]) + "\n")


if __name__ == "__main__":
    main()
