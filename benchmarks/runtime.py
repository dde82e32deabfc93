"""Time `reconstruct` of one bundle in vaedge and in baselines, and compare vaedge with the limits of the machine."""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import vaedge
from vaedge.benchmark.baselines import Baseline, onnxruntime_run, openvino_run
from vaedge.benchmark.timing import time_calls
from vaedge.bundle.reader import read_bundle
from vaedge.engine.int8 import int8_kernels
from vaedge.engine.merge import RECONSTRUCTION, merge_graphs
from vaedge.engine.onnxruntime import import_onnxruntime

Array = npt.NDArray[np.float32]
Reconstruct = Callable[[Array], object]
BATCH_SIZES = (1, 8, 64, 512)
_SECONDS = 0.15


class SharedPool:
    """A process that runs the encoder and the decoder in two sessions with one common thread pool of ONNX Runtime.

    It is a separate process, because such a pool affects every session of its process.
    """

    def __init__(self, model: str, threads: int) -> None:
        """Start the process."""
        words = [sys.executable, __file__, model, str(threads)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def median(self, batch_size: int) -> float:
        """Time reconstructions in the separate process. Return the median time of one reconstruction in nanoseconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(batch_size, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def shared_pool(model: str, threads: int) -> None:
    """Read batch sizes from stdin. For each batch size, print the median time of a reconstruction in nanoseconds."""
    ort = import_onnxruntime()
    ort.set_default_logger_severity(4)
    ort.set_global_thread_pool_sizes(threads, 1)
    bundle = read_bundle(model)
    sessions = []
    for graph in (bundle.encoder, bundle.decoder):
        options = ort.SessionOptions()
        options.use_per_session_threads = False
        options.log_severity_level = 4
        sessions.append(ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"]))
    encoder, decoder = sessions
    for line in sys.stdin:
        x = examples(bundle.manifest.input_shape, int(line))
        durations = time_calls(
            lambda x=x: decoder.run(("x",), {"z": encoder.run(("mean",), {"x": x})[0]}),  # type: ignore[misc]
            _SECONDS,
        )
        print(statistics.median(durations), flush=True)


def examples(shape: tuple[int, ...], batch_size: int) -> Array:
    """Return random examples, (batch_size, *shape) float32 in [0, 1)."""
    return np.random.default_rng(0).random((batch_size, *shape), np.float32)


def torch_model(model: str) -> nn.Module:
    """Return a PyTorch module that reconstructs x with the weights of a bundle.

    The encoder and the decoder must consist of linear layers and ReLU, as in the bundle models/article.
    """
    import onnx

    layers: list[nn.Module] = [nn.Flatten()]
    for part in ("encoder", "decoder"):
        graph = onnx.load(f"{model}/{part}.onnx").graph
        weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        gemms = [node for node in graph.node if node.op_type == "Gemm"]
        for index, node in enumerate(gemms):
            weight, bias = (torch.from_numpy(weights[name].copy()) for name in node.input[1:3])
            if part == "encoder" and index == len(gemms) - 1:  # a reconstruction needs only the mean
                weight, bias = weight.chunk(2)[0], bias.chunk(2)[0]
            linear = nn.Linear(weight.shape[1], weight.shape[0])
            linear.load_state_dict({"weight": weight, "bias": bias})
            layers += [linear, nn.ReLU()] if index < len(gemms) - 1 else [linear]
    return nn.Sequential(*layers, nn.Sigmoid()).eval()


def candidates(model: str, threads: int) -> dict[str, Reconstruct]:
    """Return a dict from the name of each candidate to its `reconstruct` function: first vaedge, then the baselines."""
    ort, bundle = import_onnxruntime(), read_bundle(model)
    prior = vaedge.load(model, threads=threads).prior
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    graph = merge_graphs(bundle.encoder, bundle.decoder, ())
    merged = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    torch.set_num_threads(threads)
    network = torch_model(model)
    compiled = torch.compile(network)

    def eager(module: Callable[[torch.Tensor], torch.Tensor]) -> Reconstruct:
        def call(x: Array) -> object:
            with torch.inference_mode():
                return module(torch.from_numpy(x)).numpy()

        return call

    return {
        "vaedge": vaedge.load(model, threads=threads).reconstruct,
        "vaedge int8": vaedge.load(model, threads=threads, variant="int8").reconstruct,
        "two default sessions": partial(Baseline(onnxruntime_run(bundle, threads), prior).reconstruct, conditions={}),
        "one merged graph": lambda x: merged.run((RECONSTRUCTION,), {"x": x}),
        "torch eager": eager(network),
        "torch compiled": eager(compiled),
        "OpenVINO f32": partial(Baseline(openvino_run(bundle, threads), prior).reconstruct, conditions={}),
        "OpenVINO bf16": partial(Baseline(openvino_run(bundle, threads, "bf16"), prior).reconstruct, conditions={}),
    }


def main(args: argparse.Namespace) -> list[str]:
    """Measure and return the lines of the report."""
    manifest = vaedge.load(args.model).manifest
    lines = [
        f"`models/{manifest.name}`, microseconds per call, medians of {args.rounds} rounds; ONNX Runtime's "
        f"{int8_kernels()} 8-bit kernels.",
    ]
    for threads in (1, 2):
        lines += ["", *_table(args.model, manifest.input_shape, threads, args.rounds)]
    return [*lines, "", *_overhead(args.model, args.rounds), "", *_limits(args.model, args.rounds)]


def _table(model: str, shape: tuple[int, ...], threads: int, rounds: int) -> list[str]:
    calls = candidates(model, threads)
    pool = SharedPool(model, threads)
    names = [*calls, "shared pool"]
    lines = [
        f"**{threads} thread{'s' if threads > 1 else ''}**",
        "",
        "| batch size | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    ratios = []
    for batch_size in BATCH_SIZES:
        x = examples(shape, batch_size)
        times: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name, call in calls.items():
                times[name].append(statistics.median(time_calls(lambda call=call, x=x: call(x), _SECONDS)))  # type: ignore[misc]
                time.sleep(0.02)  # let the threads of this session stop spinning
            times["shared pool"].append(pool.median(batch_size))
            time.sleep(0.1)  # the threads of the shared pool spin longer
        lines.append(
            f"| {batch_size} | " + " | ".join(f"{statistics.median(times[name]) / 1000:,.0f}" for name in names) + " |"
        )
        ratios.append(_ratios(batch_size, times))
    pool.close()
    heads = list(ratios[0])
    lines += ["", "| batch size | " + " | ".join(heads[1:]) + " |", "|---" * len(heads) + "|"]
    lines += [
        "| " + " | ".join(str(value) if isinstance(value, int) else f"{value:.2f}" for value in row.values()) + " |"
        for row in ratios
    ]
    return lines


def _ratios(batch_size: int, times: dict[str, list[float]]) -> dict[str, float]:
    def ratio(name: str, *others: str) -> float:
        return statistics.median(
            own / min(parts) for own, *parts in zip(times[name], *(times[other] for other in others), strict=True)
        )

    torch_names = ("torch eager", "torch compiled")
    return {
        "batch size": batch_size,
        "vaedge / two default sessions": ratio("vaedge", "two default sessions"),
        "vaedge / best ONNX Runtime": ratio("vaedge", "one merged graph", "shared pool"),
        "vaedge / torch": ratio("vaedge", *torch_names),
        "vaedge / OpenVINO f32": ratio("vaedge", "OpenVINO f32"),
        "int8 / vaedge": ratio("vaedge int8", "vaedge"),
        "int8 / OpenVINO bf16": ratio("vaedge int8", "OpenVINO bf16"),
        "int8 / torch": ratio("vaedge int8", *torch_names),
    }


def _overhead(model: str, rounds: int) -> list[str]:
    vae = vaedge.load(model, threads=1)
    session = vae._sessions.decoder.session
    z = vae.prior.sample(1, 0)
    calls: dict[str, Callable[[], object]] = {
        "session.run": lambda: session.run(("x",), {"z": z}),
        "decode": lambda: vae.decode(z),
        "noise": lambda: vae.prior.sample(1, 0),
        "sample": lambda: vae.sample(1, seed=0),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(4 * rounds):
        for name, call in calls.items():
            times[name].append(statistics.median(time_calls(call, 0.02)) / 1000)
    decode = statistics.median(a - b for a, b in zip(times["decode"], times["session.run"], strict=True))
    sample = statistics.median(
        a - b - c for a, b, c in zip(times["sample"], times["decode"], times["noise"], strict=True)
    )
    return [
        f"Overhead at batch size 1: `decode` takes {decode:.1f} microseconds more than the `session.run` that it wraps. The "
        f"noise of `sample` takes {statistics.median(times['noise']):.1f} microseconds. Apart from `decode` and the noise, `sample` "
        f"takes {sample:.1f} microseconds."
    ]


def _limits(model: str, rounds: int) -> list[str]:
    """Compare the speed of `reconstruct` with two limits of the machine.

    With large batches, the speed is limited by the number of floating-point operations per second. This number is
    measured with a product of large matrices. With batch size 1, the speed is limited by the time to read the weights
    from memory. The speed of the memory is measured with a sum of many numbers.
    """
    bundle = read_bundle(model)
    threads = 2
    torch.set_num_threads(threads)
    vae = vaedge.load(model, threads=threads)
    weights = sum(parameter.numel() for parameter in torch_model(model).parameters())
    square, block = torch.rand(1024, 1024), torch.rand(weights)
    large, one = examples(bundle.manifest.input_shape, 512), examples(bundle.manifest.input_shape, 1)
    rates: list[tuple[float, float]] = []
    for _ in range(rounds):
        product, read, at_512, at_1 = (
            statistics.median(time_calls(call, _SECONDS))
            for call in (
                lambda: torch.mm(square, square),
                lambda: block.sum(),
                lambda: vae.reconstruct(large),
                lambda: vae.reconstruct(one),
            )
        )
        flops = 2 * weights * 512 / at_512  # floating-point operations per nanosecond
        rates.append((flops / (2 * 1024**3 / product), read / at_1))
    compute, bandwidth = (statistics.median(column) for column in zip(*rates, strict=True))
    return [
        f"Hardware limits, {threads} threads: batch size 512 reaches {compute:.2f} times the floating-point rate of a 1024 x 1024 "
        f"matrix product in torch. With batch size 1, each call reads the {4 * weights / 1e6:.1f} MB of weights. A call "
        f"reads {bandwidth:.2f} times as many bytes per second as a sum in torch."
    ]


if __name__ == "__main__":
    shared_pool(sys.argv[1], int(sys.argv[2]))
