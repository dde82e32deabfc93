"""Compare the times that `vaedge bench` measures with the times of a plain Python loop.

    python benchmarks/hand_loop.py

The loop runs `InferenceSession.run` of ONNX Runtime on the graph that merges the encoder and the decoder, with the
session options of vaedge. The loop and the measurement of `vaedge bench` take turns. The difference of the times is the
time that vaedge itself takes for a call. Each turn is a round, and several rounds form a block. At the
start of each block, the model and the session are loaded again, because their place in memory changes their speed.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import vaedge
from vaedge.benchmark.table import Table
from vaedge.benchmark.timing import LocalCall, operation_call
from vaedge.bundle.reader import Bundle, read_bundle
from vaedge.bundle.reference import Inputs
from vaedge.engine.merge import merge_graphs
from vaedge.engine.onnxruntime import import_onnxruntime

MODEL = Path(__file__).parents[1] / "models" / "mnist"
ROUND_SECONDS = 0.05


def hand_loop(session, x) -> float:
    """Run a session again and again for a fixed time, and return the median time of a run in microseconds."""
    session.run(None, {"x": x})
    times = []
    end = time.perf_counter() + ROUND_SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter_ns()
        session.run(None, {"x": x})
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times)) / 1000


def merged_session(bundle: Bundle, threads: int):
    """Open a session for the graph that merges the encoder and the decoder, with the session options of vaedge."""
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.spin_duration_us", "500")
    merged = merge_graphs(bundle.encoder, bundle.decoder, bundle.manifest.conditions)
    return ort.InferenceSession(merged, options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Measure the calls of `vaedge bench` and the plain loop, and print a table of their times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(MODEL), help="folder of the bundle")
    parser.add_argument("--variant", default="fp32", help="name of the variant")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64, 512], help="batch sizes")
    parser.add_argument("--threads", type=int, default=1, help="number of CPU threads")
    parser.add_argument(
        "--blocks", type=int, default=12, help="number of blocks; the model is loaded once in each block"
    )
    parser.add_argument("--rounds", type=int, default=4, help="number of rounds in each block")
    args = parser.parse_args()

    bundle = read_bundle(args.model, args.variant)
    inputs = {batch: Inputs.of(bundle).repeated(batch) for batch in args.batches}
    found: dict[int, list[tuple[float, float]]] = {batch: [] for batch in args.batches}
    for _ in range(args.blocks):
        vae = vaedge.load(args.model, variant=args.variant, threads=args.threads)
        session = merged_session(bundle, args.threads)
        for _ in range(args.rounds):
            for batch, rows in inputs.items():
                durations, _ = LocalCall(operation_call(vae, "reconstruct", rows)).timed(ROUND_SECONDS)
                found[batch].append((float(np.median(durations)) / 1000, hand_loop(session, rows.x)))
    rows = []
    for batch, pairs in found.items():
        bench, loop = np.array(pairs).T
        medians = np.median([bench, loop, bench - loop, bench / loop], axis=1)
        rows.append((str(batch), *(f"{value:.1f}" for value in medians[:3]), f"{medians[3]:.3f}"))
    print(*Table(("batch", "vaedge bench, us", "loop, us", "difference, us", "ratio"), rows).text(), sep="\n")


if __name__ == "__main__":
    main()
