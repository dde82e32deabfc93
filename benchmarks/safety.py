"""What plain ONNX Runtime does with the hostile graphs that vaedge refuses: `python benchmarks/safety.py`.

Each graph is loaded and run in a process of its own, with a limit on its time and its memory, the way that people
write it: `InferenceSession(path)`, then `run`. Writes safety.md beside this file.
"""

import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import onnxruntime

import vaedge

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from hostile.corpus import CORPUS, make  # noqa: E402 - the tests are no package

SECONDS = 10
MEGABYTES = 4096
_PLAIN = f"""
import resource, sys
import numpy as np, onnxruntime as ort
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_AS, ({MEGABYTES} * 2**20,) * 2)
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


def plain(path: Path) -> str:
    """Say what ONNX Runtime does with a model."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", _PLAIN, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        said = process.communicate(timeout=SECONDS)[0].split()
        end = f"dies of signal {-process.returncode}" if process.returncode < 0 else ""
    except subprocess.TimeoutExpired:
        process.kill()
        said, end = process.communicate()[0].split(), f"hangs (over {SECONDS} s)"
    words = [word for word in ("loads", "runs") if word in said]
    if "raises" in said:
        words.append(f"raises {said[said.index('raises') + 1]}")
    words += [end] if end else []
    if "memory" in said and int(said[-1]) > 200:
        words.append(f"takes {int(said[-1]):,} MB")
    if (seconds := time.perf_counter() - began) > 2 and not end:
        words.append(f"in {seconds:.0f} s")
    return ", ".join(words)


def guarded(folder: Path) -> str:
    """Say what vaedge does with the bundle."""
    began = time.perf_counter()
    try:
        vaedge.load(folder)
    except vaedge.BundleError as error:
        why = str(error).replace(f"{folder}/", "").replace(f"{folder}: ", "")
        return f"{1000 * (time.perf_counter() - began):.0f} ms: {why}"
    return "LOADS"


def main() -> None:
    """Try every bundle of the corpus, and write the table."""
    good = HERE.parent / "models" / "article"
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        for index, name in enumerate(CORPUS):
            folder = make(good, Path(scratch, str(index)), name)
            ort = plain(folder / "encoder.onnx") if name.startswith("graph: ") else "never looks at it"
            cells = (name, guarded(folder).replace("|", "\\|"), ort)
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    head = [
        "# Hostile bundles",
        "",
        f"Written by `python benchmarks/safety.py` with onnxruntime {onnxruntime.__version__} on {platform.system()}. vaedge: "
        "how long `load` takes to refuse the bundle, and what it says. ONNX Runtime: what `InferenceSession(path)` and a "
        f"`run` of the same graph do, stopped after {SECONDS} s and at {MEGABYTES:,} MB.",
        "",
        "| bundle | vaedge | plain ONNX Runtime |",
        "|---|---|---|",
    ]
    (HERE / "safety.md").write_text("\n".join([*head, *lines]) + "\n")


if __name__ == "__main__":
    main()
