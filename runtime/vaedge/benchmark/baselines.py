"""Other ways to run the same graphs, for `vaedge bench --against`: what a user would write without vaedge."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray
from vaedge.bundle.reader import Bundle
from vaedge.distributions.posterior import Posterior
from vaedge.distributions.prior import Prior
from vaedge.engine.onnxruntime import import_onnxruntime
from vaedge.errors import DependencyError

Run = Callable[[str, Mapping[str, Any]], list[FloatArray]]  # "encoder" or "decoder", inputs -> all outputs
Conditions = Mapping[str, npt.ArrayLike]


class Baseline:
    """Two graphs, run one after the other."""

    def __init__(self, run: Run, prior: Prior) -> None:
        """Take a function that runs either graph, and p(z)."""
        self._run = run
        self._prior = prior

    def encode(self, x: FloatArray, *, conditions: Conditions) -> Posterior:
        """Return q(z|x)."""
        return Posterior(*self._run("encoder", {"x": x, **conditions}))

    def decode(self, z: FloatArray, *, conditions: Conditions) -> FloatArray:
        """Return the mean of p(x|z)."""
        return self._run("decoder", {"z": z, **conditions})[0]

    def sample(self, n: int, *, seed: int | None, conditions: Conditions) -> FloatArray:
        """Draw from the prior and decode."""
        return self.decode(self._prior.sample(n, seed), conditions=conditions)

    def reconstruct(self, x: FloatArray, *, conditions: Conditions) -> FloatArray:
        """Decode the posterior's mean."""
        return self.decode(self.encode(x, conditions=conditions).mean, conditions=conditions)


def onnxruntime_run(bundle: Bundle, threads: int) -> Run:
    """Return a function that runs two ONNX Runtime sessions with default options."""
    ort = import_onnxruntime()

    def session(graph: bytes) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    sessions = {"encoder": session(bundle.encoder), "decoder": session(bundle.decoder)}

    def run(graph: str, inputs: Mapping[str, Any]) -> list[FloatArray]:
        outputs: list[FloatArray] = sessions[graph].run(None, dict(inputs))
        return outputs

    return run


def openvino_run(bundle: Bundle, threads: int, precision: str = "f32") -> Run:
    """Return a function that runs two compiled OpenVINO models.

    OpenVINO's own default precision is bf16 where the CPU has it, which would not compute the same.

    Raises:
        DependencyError: OpenVINO is not installed.
    """
    try:
        openvino = importlib.import_module("openvino")
    except ImportError as error:
        raise DependencyError("OpenVINO is not installed: pip install openvino") from error
    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    models = {
        name: core.compile_model(core.read_model(graph), "CPU", options)
        for name, graph in (("encoder", bundle.encoder), ("decoder", bundle.decoder))
    }
    requests = {name: model.create_infer_request() for name, model in models.items()}
    counts = {name: len(model.outputs) for name, model in models.items()}

    def run(graph: str, inputs: Mapping[str, Any]) -> list[FloatArray]:
        found = requests[graph].infer(dict(inputs), share_inputs=True)
        return [np.asarray(found[index]) for index in range(counts[graph])]

    return run


BASELINES: Mapping[str, Callable[[Bundle, int], Run]] = {"onnxruntime": onnxruntime_run, "openvino": openvino_run}
