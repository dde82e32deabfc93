"""Measure whole processes: cold start, memory, installed size, threads, and the streaming of samples to disk."""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import distribution
from pathlib import Path

import numpy as np

import vaedge

_VAEDGE = """
import sys, numpy, vaedge
numpy.save(sys.argv[2], vaedge.load(sys.argv[1]).sample(64, seed=0))
"""
_TORCH = """
import sys, numpy, torch
from torch import nn
decoder = nn.Sequential(nn.Linear(20, 784), nn.ReLU(), nn.Linear(784, 784), nn.Sigmoid())
decoder.load_state_dict(torch.load(sys.argv[1], weights_only=True))
torch.manual_seed(0)
with torch.inference_mode():
    numpy.save(sys.argv[2], decoder(torch.randn(64, 20)).view(64, 1, 28, 28).numpy())
"""
_PEAK = """
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
_COMMAND = """
import sys
from vaedge.cli.main import main
assert main() == 0
"""
_MEMORY = """
import sys, numpy as np, vaedge
def resident():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1]) * 1024
vae = vaedge.load(sys.argv[1])
rng = np.random.default_rng(0)
largest = rng.random((5000, *vae.input_shape), np.float32)
vae.reconstruct(largest)
before = resident()
for size in rng.integers(1, 5001, 200):
    vae.reconstruct(largest[:size])
print(resident() - before, largest.nbytes)
"""


def main(args: argparse.Namespace) -> list[str]:
    """Measure and return the lines of the report."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [*_cold_start(args.model, Path(folder), args.rounds), "", *_memory(args.model)]
        return [*lines, "", *_threads(args.model), "", *_stream(args.model, Path(folder), args.samples)]


def _run(code: str, *words: str) -> tuple[float, float]:
    """Run code in a new process. Return the wall time in seconds and the peak memory in MiB.

    The process measures its peak memory itself and prints it at the end. The peak memory that the kernel reports for
    a child process would be too large. It includes memory that the child shares with its parent until the new program
    starts.
    """
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code + _PEAK, *words], stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - began, int(done.stdout.split()[-2]) / 1024


def _cold_start(model: str, folder: Path, rounds: int) -> list[str]:
    import torch
    from torch import nn

    decoder = nn.Sequential(nn.Linear(20, 784), nn.ReLU(), nn.Linear(784, 784), nn.Sigmoid())
    torch.save(decoder.state_dict(), folder / "decoder.pt")
    candidates = {
        "vaedge": (_VAEDGE, model, str(folder / "a.npy")),
        "torch": (_TORCH, str(folder / "decoder.pt"), str(folder / "b.npy")),
    }
    # The first round fills the file cache and is not counted.
    runs = [{name: _run(*words) for name, words in candidates.items()} for _ in range(rounds + 1)][1:]
    seconds, memory = (statistics.median(run["vaedge"][i] / run["torch"][i] for run in runs) for i in range(2))
    medians = {name: [statistics.median(run[name][i] for run in runs) for i in range(2)] for name in candidates}
    sizes = {
        name: _installed(*parts) for name, parts in {"vaedge": ("numpy", "onnxruntime"), "torch": ("torch",)}.items()
    }
    rows = [f"| {name} | {medians[name][0]:.2f} | {medians[name][1]:.0f} | {sizes[name]:.0f} |" for name in candidates]
    return [
        "Time from the start of a new process until 64 samples are on disk. The files were read before, so they are in "
        "the file cache.",
        "",
        "| | seconds | peak memory, MiB | installed, MB |",
        "|---|---|---|---|",
        *rows,
        f"| vaedge / torch | {seconds:.2f} | {memory:.2f} | {sizes['vaedge'] / sizes['torch']:.2f} |",
        "",
        "The installed size of vaedge includes numpy and onnxruntime. The installed size of torch does not include numpy.",
    ]


def _installed(*names: str) -> float:
    """Return the size on disk of installed Python packages, in MB. vaedge itself takes less than 1 MB."""
    files = [file for name in names for file in distribution(name).files or ()]
    return sum(path.stat().st_size for path in map(Path, (file.locate() for file in files)) if path.exists()) / 1e6


def _memory(model: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", _MEMORY, model], capture_output=True, text=True, check=True)
    growth, largest = map(int, done.stdout.split())
    return [
        f"Two hundred batches of 1 to 5,000 examples: resident memory grows by {growth / 2**20:.1f} MiB. The largest batch takes "
        f"{largest / 2**20:.1f} MiB, and its result takes as much."
    ]


def _threads(model: str) -> list[str]:
    vae = vaedge.load(model)
    x = np.random.default_rng(0).random((64, *vae.input_shape), np.float32)
    expected = vae.reconstruct(x)

    def calls(seconds: float, counts: list[int]) -> None:
        end, count = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            if not np.array_equal(vae.reconstruct(x), expected):
                raise SystemExit("a thread computed a different result")
            count += 1
        counts.append(count)

    ratios = []
    for _ in range(3):
        single: list[int] = []
        calls(1.5, single)
        many: list[int] = []
        threads = [threading.Thread(target=calls, args=(1.5, many)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ratios.append(sum(many) / single[0])
    return [
        f"Sixteen threads that share one `VAE`, batch size 64: {statistics.median(ratios):.2f} times the throughput of one "
        "thread, and results with the same bits."
    ]


def _stream(model: str, folder: Path, samples: int) -> list[str]:
    vae = vaedge.load(model)
    rate = 512 / statistics.median(_timed(lambda: vae.sample(512, seed=0)) for _ in range(30))
    arguments = ["sample", model, "-n", str(samples), "--seed", "0", "--out", str(folder / "shards")]
    seconds, memory = _run(_COMMAND, *arguments)
    size = sum(path.stat().st_size for path in (folder / "shards").iterdir())
    return [
        f"{samples:,} samples streamed to disk ({size / 1e9:.2f} GB in shards): {seconds:.0f} s, {samples / seconds:,.0f} "
        f"samples per second. This is {samples / seconds / rate:.2f} times the speed of `sample(512)` in memory "
        f"({rate:,.0f} samples per second). Peak memory: {memory:.0f} MiB."
    ]


def _timed(call: object) -> float:
    began = time.perf_counter()
    call()  # type: ignore[operator]
    return time.perf_counter() - began
