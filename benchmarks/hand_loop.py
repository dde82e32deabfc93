"""Compare the times that `vaedge bench` reports with a loop that is written by hand.

    python benchmarks/hand_loop.py

The loop runs `InferenceSession.run` of ONNX Runtime on the graph that merges the encoder and the decoder, with the
session options of vaedge. Rounds of `vaedge bench` and rounds of the loop take turns. The difference between both times
is what vaedge itself takes for a call.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

import vaedge
from vaedge.benchmark.rounds import BundleCandidates, groups_of
from vaedge.benchmark.table import Table
from vaedge.benchmark.timing import LocalCall, operation_call
from vaedge.bundle.reader import read_bundle
from vaedge.bundle.reference import Inputs
from vaedge.engine.merge import merge_graphs

MODEL = Path(__file__).parents[1] / "models" / "mnist"


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(MODEL), help="folder of the bundle")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64, 512], help="batch sizes")
    parser.add_argument("--threads", type=int, default=1, help="number of CPU threads")
    parser.add_argument("--rounds", type=int, default=60, help="number of rounds")
    args = parser.parse_args()

    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.spin_duration_us", "500")
    bundle = read_bundle(args.model)
    merged = merge_graphs(bundle.encoder, bundle.decoder, bundle.manifest.conditions)
    session = ort.InferenceSession(merged, options, providers=["CPUExecutionProvider"])

    vae = vaedge.load(args.model, threads=args.threads)
    candidates = {"vaedge": lambda operation, rows: LocalCall(operation_call(vae, operation, rows))}
    inputs = Inputs.of(bundle)
    groups = groups_of([BundleCandidates(candidates, inputs)], args.batches, ("reconstruct",))
    loops: dict[int, list[float]] = {batch: [] for batch in args.batches}
    for _ in range(args.rounds):
        for group in groups:
            group.add_round(0.05)
            x = inputs.repeated(group.batch_size).x
            session.run(None, {"x": x})
            times = []
            end = time.perf_counter() + 0.05
            while time.perf_counter() < end:
                start = time.perf_counter_ns()
                session.run(None, {"x": x})
                times.append(time.perf_counter_ns() - start)
            loops[group.batch_size].append(float(np.median(times)) / 1000)
    rows = []
    for group in groups:
        found, loop = group.rows()[0].p50, float(np.median(loops[group.batch_size]))
        ratio = float(np.median(np.array(group.medians("vaedge")) / loops[group.batch_size]))
        difference = float(np.median(np.array(group.medians("vaedge")) - loops[group.batch_size]))
        rows.append((str(group.batch_size), f"{found:.1f}", f"{loop:.1f}", f"{difference:+.1f}", f"{ratio:.3f}"))
    print(*Table(("batch", "vaedge bench", "hand loop", "difference", "ratio"), rows).text(), sep="\n")


if __name__ == "__main__":
    main()
