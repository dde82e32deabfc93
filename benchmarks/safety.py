"""Compare vaedge and plain ONNX Runtime on hostile bundles: `python benchmarks/safety.py`.

For each hostile graph, a separate process calls `InferenceSession(path)` and `run` of ONNX Runtime, as most users do.
The time and the memory of the process are limited. The script writes a table to safety.md in this folder.
"""

import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import onnxruntime

import vaedge

HERE = Path(__file__).parent
MAX_SECONDS = 10
MAX_MEGABYTES = 4096
_PLAIN = f"""
import resource, sys
import numpy as np, onnxruntime as ort
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_AS, ({MAX_MEGABYTES} * 2**20,) * 2)
options = ort.SessionOptions()
options.log_severity_level = 4
try:
    session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    print("loads", flush=True)
    session.run(None, {{value.name: np.zeros((1, 1, 28, 28), np.float32) for value in session.get_inputs()}})
    print("runs", flush=True)
except Exception as error:
    print("raises", type(error).__name__, flush=True)
print("memory", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def run_in_onnxruntime(path: Path) -> str:
    """Load and run a graph in plain ONNX Runtime, in a separate process. Return a description of the outcome."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", _PLAIN, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        printed = process.communicate(timeout=MAX_SECONDS)[0].split()
        end = f"dies of signal {-process.returncode}" if process.returncode < 0 else ""
    except subprocess.TimeoutExpired:
        process.kill()
        printed, end = process.communicate()[0].split(), f"hangs (over {MAX_SECONDS} s)"
    words = [word for word in ("loads", "runs") if word in printed]
    if "raises" in printed:
        words.append(f"raises {printed[printed.index('raises') + 1]}")
    words += [end] if end else []
    if "memory" in printed and int(printed[-1]) > 200:
        words.append(f"takes {int(printed[-1]):,} MB")
    if (seconds := time.perf_counter() - began) > 2 and not end:
        words.append(f"in {seconds:.0f} s")
    return ", ".join(words)


def load_in_vaedge(folder: Path) -> str:
    """Load a bundle in vaedge. Return a description of the outcome."""
    began = time.perf_counter()
    try:
        vaedge.load(folder)
    except vaedge.BundleError as error:
        reason = str(error).replace(f"{folder}/", "").replace(f"{folder}: ", "")
        return f"{1000 * (time.perf_counter() - began):.0f} ms: {reason}"
    return "LOADS"


def main() -> None:
    """Load every hostile bundle with vaedge and with plain ONNX Runtime, and write the table of outcomes."""
    good = HERE.parent / "models" / "article"
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        # The corpus is a module of the tests. This script cannot import it, so it runs the module in tests/.
        words = [sys.executable, "-m", "hostile", str(good), scratch]
        subprocess.run(words, check=True, cwd=HERE.parent / "tests")
        for index, name in enumerate(json.loads(Path(scratch, "names.json").read_text())):
            folder = Path(scratch, str(index))
            ort = run_in_onnxruntime(folder / "encoder.onnx") if name.startswith("graph: ") else "does not read it"
            cells = (name, load_in_vaedge(folder).replace("|", "\\|"), ort)
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    head = [
        "# Hostile bundles",
        "",
        f"Written by `python benchmarks/safety.py` with onnxruntime {onnxruntime.__version__} on {platform.system()}. The "
        'column "vaedge" shows how long `load` takes to refuse the bundle, and the message of the error. The column "plain ONNX '
        'Runtime" shows what happens when ONNX Runtime loads and runs the same graph. Its process is stopped after '
        f"{MAX_SECONDS} s, or at {MAX_MEGABYTES:,} MB.",
        "",
        "| bundle | vaedge | plain ONNX Runtime |",
        "|---|---|---|",
    ]
    (HERE / "safety.md").write_text("\n".join([*head, *lines]) + "\n")


if __name__ == "__main__":
    main()
