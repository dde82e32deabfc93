"""Baselines for `vaedge bench --against`: code that runs the same graphs without vaedge, as a user would write it."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray
from vaedge.bundle.reader import Bundle
from vaedge.distributions.posterior import Posterior
from vaedge.distributions.prior import Prior
from vaedge.engine.onnxruntime import import_onnxruntime
from vaedge.errors import DependencyError

# The settings of ONNX Runtime that say how long idle threads spin, with the default value of each setting.
_SPINNING = {"session.intra_op.allow_spinning": "1", "session.intra_op.spin_duration_us": "default"}

# A function that takes "encoder" or "decoder" and a dict of inputs, and returns all outputs of the graph.
Run = Callable[[str, Mapping[str, Any]], list[FloatArray]]
Conditions = Mapping[str, npt.ArrayLike]


class Baseline:
    """A baseline with the operations of `vaedge.VAE`. It runs the encoder and the decoder one after the other."""

    def __init__(self, run: Run, prior: Prior, parameters: Sequence[str]) -> None:
        """Store the arguments.

        Args:
            run: Function that runs one of the two graphs.
            prior: The prior p(z).
            parameters: Names of the parameters of p(x|z).
        """
        self._run = run
        self._prior = prior
        self._parameters = parameters

    def encode(self, x: FloatArray, *, conditions: Conditions) -> Posterior:
        """Return q(z|x)."""
        return Posterior(*self._run("encoder", {"x": x, **conditions}))

    def decode(self, z: FloatArray, *, conditions: Conditions) -> FloatArray:
        """Return the mean of p(x|z)."""
        return self._run("decoder", {"z": z, **conditions})[0]

    def parameters(self, z: FloatArray, *, conditions: Conditions) -> dict[str, FloatArray]:
        """Return the parameters of p(x|z)."""
        _, *values = self._run("decoder", {"z": z, **conditions})
        return dict(zip(self._parameters, values, strict=True))

    def sample(self, n: int, *, seed: int | None, conditions: Conditions) -> FloatArray:
        """Draw n latents from the prior, and return the means of p(x|z)."""
        return self.decode(self._prior.sample(n, seed), conditions=conditions)

    def reconstruct(self, x: FloatArray, *, conditions: Conditions) -> FloatArray:
        """Return the mean of p(x|z), where z is the posterior's mean."""
        return self.decode(self.encode(x, conditions=conditions).mean, conditions=conditions)


def onnxruntime_run(bundle: Bundle, threads: int) -> Run:
    """Return a function that runs each graph in an ONNX Runtime session with default options."""
    sessions = {
        "encoder": _default_session(bundle.encoder, threads),
        "decoder": _default_session(bundle.decoder, threads),
    }

    def run(graph: str, inputs: Mapping[str, Any]) -> list[FloatArray]:
        outputs: list[FloatArray] = sessions[graph].run(None, dict(inputs))
        return outputs

    return run


def _default_session(graph: bytes, threads: int) -> Any:
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def openvino_run(bundle: Bundle, threads: int, precision: str = "f32") -> Run:
    """Return a function that runs each graph as a compiled OpenVINO model.

    Args:
        bundle: The bundle, whose graphs are float32.
        threads: Number of CPU threads.
        precision: Precision of the computation, "f32" by default. OpenVINO's own default is bf16 on CPUs that support
            bf16. The results in bf16 differ from those in float32.

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


@dataclass(frozen=True)
class Settings:
    """Settings of a candidate that change its speed, besides the number of threads.

    Attributes:
        spinning: How long idle threads wait actively for work: "off", "default", or a time.
        graph_optimization: Level of the graph optimization.
    """

    spinning: str
    graph_optimization: str


def session_settings(session: Any) -> Settings:
    """Return the settings of an ONNX Runtime session."""
    options = session.get_session_options()

    def entry(name: str) -> str:
        try:
            return str(options.get_session_config_entry(name))
        except RuntimeError:  # ONNX Runtime raises this error if the entry is not set
            return _SPINNING[name]

    allowed, duration = map(entry, _SPINNING)
    spinning = "off" if allowed == "0" else duration if duration == "default" else f"{duration} us"
    return Settings(spinning, options.graph_optimization_level.name.removeprefix("ORT_").lower())


@dataclass(frozen=True)
class BaselineKind:
    """One of the baselines that `vaedge bench` offers.

    Attributes:
        run: Function that opens the graphs of a bundle with a number of threads.
        settings: Function that returns the settings of these graphs.
        package: Name of the package that runs the graphs.
    """

    run: Callable[[Bundle, int], Run]
    settings: Callable[[Bundle, int], Settings]
    package: str

    def software(self) -> dict[str, str]:
        """Return a dict from the name of the package to its version."""
        return {self.package: str(importlib.import_module(self.package).__version__)}


BASELINES: Mapping[str, BaselineKind] = {
    "onnxruntime": BaselineKind(
        onnxruntime_run,
        lambda bundle, threads: session_settings(_default_session(bundle.decoder, threads)),
        "onnxruntime",
    ),
    "openvino": BaselineKind(openvino_run, lambda *_: Settings("default", "default"), "openvino"),
}
