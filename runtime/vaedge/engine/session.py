"""ONNX Runtime: its import, the device rule, and one graph in one session."""

import contextlib
import functools
import io
import logging
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy.typing as npt

from vaedge.arrays import FloatArray, as_count
from vaedge.bundle.signature import Signature, Tensor, tensor
from vaedge.engine.cpus import usable_cpus
from vaedge.engine.forks import no_fork
from vaedge.errors import BundleError, DependencyError, DeviceError, InferenceError, InputError

logger = logging.getLogger("vaedge")

_DEVICE = re.compile(r"cpu|auto|cuda(?::(?P<index>\d+))?")
MAX_THREADS = 1024
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_WHEELS = frozenset(("onnxruntime", "onnxruntime_gpu"))
_SPIN_MICROSECONDS = "500"
_SILENT = 4  # ONNX Runtime prints errors to stderr besides raising them; the exception is enough.


class Graph:
    """One ONNX graph, ready to run: named arrays in, named arrays out. Safe to share between threads.

    Attributes:
        session: the onnxruntime.InferenceSession.
        shapes: of the outputs, by name, without the batch axis.
        item_elements: how many numbers the largest input or output has for each item.
    """

    def __init__(self, session: Any, name: str, signature: Signature) -> None:
        """Take a session, whose inputs and outputs must be as the signature says.

        Args:
            session: an onnxruntime.InferenceSession.
            name: of the graph's file, for errors.
            signature: what is expected.

        Raises:
            BundleError: they are not.
        """
        signature.require(Signature(_tensors(session.get_inputs()), _tensors(session.get_outputs())), name)
        self.session = session
        self.shapes = {output: shape for output, (_, shape) in signature.outputs.items()}
        every = (*signature.inputs.values(), *signature.outputs.values())
        self.item_elements = max(math.prod(shape) for _, shape in every)

    def __del__(self) -> None:
        """Take the session apart while nobody forks."""
        with no_fork():
            self.__dict__.pop("session", None)

    def run(self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> list[FloatArray]:
        """Run the graph on a batch.

        Args:
            inputs: by name, C-contiguous, (n, *its shape), of its type.
            outputs: names of the outputs to compute, each (n, *its shape) float32.

        Raises:
            InferenceError: ONNX Runtime failed; its exception is the cause.
        """
        try:
            result: list[FloatArray] = self.session.run(outputs, inputs)
        except Exception as error:  # its exceptions share no base class
            shapes = ", ".join(f"{name} {array.shape}" for name, array in inputs.items())
            raise InferenceError(f"ONNX Runtime failed on a batch of {shapes}: {error}") from error
        return result


def open_session(graph: bytes, device: str, threads: int) -> tuple[Any, str]:
    """Make a session of a graph.

    Args:
        graph: a serialised ONNX model, already verified.
        device: "cpu", "cuda", "cuda:N", or "auto": CUDA if it can be had, else the processor, and says which.
        threads: processor threads of the session.

    Returns:
        The session, and the device it is on ("cpu" or "cuda:N").

    Raises:
        InputError: the device is no such word.
        DependencyError: there is no ONNX Runtime, or two of them.
        DeviceError: CUDA was asked for and cannot be had; the message says why.
        BundleError: ONNX Runtime cannot load the graph.
    """
    match = _DEVICE.fullmatch(device) if isinstance(device, str) else None
    if match is None:
        raise InputError(f"device is {device!r}; expected 'cpu', 'cuda', 'cuda:1' or 'auto'")
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _SILENT
    # Threads that wait for work spin, which saves 50 microseconds at the next operator; by default they go on for
    # milliseconds after the call, and take the processor from whatever runs next.
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_MICROSECONDS)
    # Without VNNI, x86 multiplies int8 by instructions that saturate: on one such machine a model lost 0.3 to 1 nat
    # more than was measured at export. Exact products are a few percent slower there, and the same elsewhere.
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.enable_mem_pattern = False  # it caches one plan per batch size that was ever seen
    index = int(match["index"] or 0)
    if device == "cpu":
        return _session(ort, graph, options, [_CPU]), "cpu"
    if device != "auto":
        return _cuda_session(ort, graph, options, index), f"cuda:{index}"
    try:
        session = _cuda_session(ort, graph, options, index)
    except DeviceError as error:
        level = logging.WARNING if _CUDA in ort.get_available_providers() else logging.INFO
        logger.log(level, "device='auto' chose cpu: %s", error)
        return _session(ort, graph, options, [_CPU]), "cpu"
    logger.info("device='auto' chose cuda:%d", index)
    return session, f"cuda:{index}"


def thread_count(threads: int | None) -> int:
    """Return how many processor threads to use: as many as this process may, unless a number is given.

    Raises:
        InputError: threads is not a whole number from 1 to 1024.
    """
    if threads is None:
        return usable_cpus()
    return as_count(threads, "threads", most=MAX_THREADS)


def require_onnxruntime(minimum: str) -> None:
    """Check that ONNX Runtime is recent enough for a bundle.

    Raises:
        DependencyError: it is older than `minimum`.
    """
    installed = import_onnxruntime().__version__
    if _numbers(installed) < _numbers(minimum):
        raise DependencyError(f"this bundle needs onnxruntime >= {minimum}, and {installed} is installed: upgrade it")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


@functools.cache
def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime.

    Raises:
        DependencyError: it is missing, broken, or installed twice (the wheels overwrite each other's files).
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise DependencyError(
            f"vaedge needs ONNX Runtime, and its import fails: {error}. Install exactly one of the two: "
            "pip install 'vaedge[cpu]', or pip install 'vaedge[gpu]' for CUDA"
        ) from error
    # What importlib.metadata would say, for a tenth of its time: it is a tenth of a process's start.
    place = Path(onnxruntime.__file__).parents[1]
    if len({name.name.partition("-")[0] for name in place.glob("onnxruntime*.dist-info")} & _WHEELS) > 1:
        raise DependencyError(
            "onnxruntime and onnxruntime-gpu are both installed and have overwritten each other's files: "
            "pip uninstall both, then install exactly one of 'vaedge[cpu]' and 'vaedge[gpu]'"
        )
    module: ModuleType = onnxruntime
    return module


def _cuda_session(ort: ModuleType, graph: bytes, options: Any, index: int) -> Any:
    device = f"cuda:{index}"
    if _CUDA not in ort.get_available_providers():
        raise DeviceError(
            f"{device} cannot be had: this ONNX Runtime ({ort.__version__}) was built without CUDA. "
            "Uninstall onnxruntime and pip install 'vaedge[gpu]', or use device='cpu'"
        )
    # TF32 would differ from the processor by about 1e-3; the default convolution search tries out every
    # new batch size for seconds.
    cuda = (_CUDA, {"device_id": index, "use_tf32": 0, "cudnn_conv_algo_search": "HEURISTIC"})
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls()  # finds CUDA and cuDNN in the nvidia wheels; prints what it misses
        session = _session(ort, graph, options, [cuda])
    if session.get_providers()[0] != _CUDA:
        said = " ".join([printed.getvalue(), *(str(warning.message) for warning in warned)]).split()
        raise DeviceError(
            f"{device} cannot be had: ONNX Runtime fell back to the processor. It said: "
            f"{' '.join(said) or 'nothing'}. Check the driver (nvidia-smi) and that 'vaedge[gpu]' brought "
            "CUDA and cuDNN, or use device='cpu'"
        )
    return session


def _session(ort: ModuleType, graph: bytes, options: Any, providers: list[Any]) -> Any:
    try:
        # Without enable_fallback=0 a failed provider prints and silently becomes the processor;
        # without read_config_from_model=0 a model file could set session options.
        with no_fork():
            return ort.InferenceSession(graph, options, providers, enable_fallback=0, read_config_from_model=0)
    except Exception as error:  # its exceptions share no base class
        if providers != [_CPU]:
            raise DeviceError(f"ONNX Runtime cannot open the graph on {providers[0][0]}: {error}") from error
        raise BundleError(f"ONNX Runtime {ort.__version__} cannot load a graph of this bundle: {error}") from error


def _tensors(values: Sequence[Any]) -> dict[str, Tensor]:
    """Describe a session's inputs or outputs."""
    known = {"tensor(float)": "float32", "tensor(int64)": "int64"}
    return {value.name: tensor(known.get(value.type, value.type), value.shape) for value in values}
