"""Open a session on the requested device, or raise an error that says why the device is not available."""

import contextlib
import ctypes
import io
import logging
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from vaedge.engine.cpus import usable_cpus
from vaedge.engine.forks import no_fork
from vaedge.engine.int8 import default_kernels_are_exact, has_int8_products
from vaedge.engine.onnxruntime import import_onnxruntime
from vaedge.errors import BundleError, DeviceError, InputError, install_hint
from vaedge.validation import as_count

logger = logging.getLogger("vaedge")

MAX_THREADS = 1024
_DEVICE = re.compile(r"cpu|auto|cuda(?::(?P<index>\d+))?")
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_SPIN_MICROSECONDS = "500"
_FATAL = 4  # with a lower level, ONNX Runtime prints errors to stderr in addition to raising them
# The library of the CUDA provider needs this symbol. ONNX Runtime provides the symbol before loading the library.
_RESOLVED_BY_ONNXRUNTIME = "Provider_GetHost"


def open_session(graph: bytes, device: str, threads: int) -> tuple[Any, str]:
    """Open a session for a graph.

    Args:
        graph: A serialized ONNX model, already verified.
        device: "cpu", "cuda", "cuda:N" or "auto". "auto" chooses CUDA if CUDA works, otherwise the CPU, and logs the
            choice.
        threads: Number of CPU threads of the session.

    Returns:
        The onnxruntime.InferenceSession, and the device that runs it: "cpu" or "cuda:N".

    Raises:
        InputError: `device` is not 'cpu', 'cuda', 'cuda:N' or 'auto'.
        DependencyError: ONNX Runtime is missing, or onnxruntime and onnxruntime-gpu are both installed.
        DeviceError: CUDA was requested but does not work. The message states the reason.
        BundleError: ONNX Runtime cannot load the graph.
    """
    match = _DEVICE.fullmatch(device) if isinstance(device, str) else None
    if match is None:
        raise InputError(f"device is {device!r}; expected 'cpu', 'cuda', 'cuda:N' or 'auto'")
    ort = import_onnxruntime()
    options = _session_options(ort, graph, threads)
    index = int(match["index"] or 0)
    if device == "cpu":
        return _session(ort, graph, options, "cpu", _CPU), "cpu"
    if device != "auto":
        return _cuda_session(ort, graph, options, index), f"cuda:{index}"
    try:
        session = _cuda_session(ort, graph, options, index)
    except DeviceError as error:
        level = logging.WARNING if _CUDA in ort.get_available_providers() else logging.INFO
        logger.log(level, "device='auto' chose cpu: %s", error)
        return _session(ort, graph, options, "cpu", _CPU), "cpu"
    logger.info("device='auto' chose cuda:%d", index)
    return session, f"cuda:{index}"


def thread_count(threads: int | None) -> int:
    """Return the number of CPU threads to use. None means one thread for each CPU that this process may use.

    Raises:
        InputError: `threads` is not an integer from 1 to 1024.
    """
    if threads is None:
        return usable_cpus()
    return as_count(threads, "threads", maximum=MAX_THREADS)


def _session_options(ort: ModuleType, graph: bytes, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    # Worker threads spin while they wait for the next operator, which saves 50 microseconds. By default they also spin
    # for milliseconds after the call, which slows down other code. Therefore this option limits the time.
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_MICROSECONDS)
    if has_int8_products(graph) and not default_kernels_are_exact():
        options.add_session_config_entry("session.x64quantprecision", "1")
    options.enable_mem_pattern = False  # memory patterns would keep memory for every batch size that was ever used
    return options


def _cuda_session(ort: ModuleType, graph: bytes, options: Any, index: int) -> Any:
    device = f"cuda:{index}"
    if _CUDA not in ort.get_available_providers():
        raise DeviceError(
            f"{device} is not available: this ONNX Runtime ({ort.__version__}) was built without CUDA. Uninstall "
            f"onnxruntime and install the extra 'gpu' ({install_hint('gpu')}), or use device='cpu'"
        )
    # TF32 results would differ from CPU results by about 1e-3. The default search for convolution algorithms would take
    # seconds for every new batch size.
    settings = {"use_tf32": 0, "cudnn_conv_algo_search": "HEURISTIC"}
    if index > 0:
        settings["device_id"] = index  # with this option, ONNX Runtime 1.26 and later print a warning, even for 0
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls()  # loads CUDA and cuDNN from the nvidia wheels, and prints missing libraries
        reason = _missing_library(ort)
        if reason is not None:
            raise DeviceError(
                f"{device} is not available: the library of the CUDA provider cannot be loaded: {reason}. Check that "
                f"the driver is installed (nvidia-smi) and that the extra 'gpu' installed CUDA and cuDNN, or use "
                "device='cpu'"
            )
        session = _session(ort, graph, options, device, (_CUDA, settings))
    if session.get_providers()[0] != _CUDA:
        messages = " ".join([printed.getvalue(), *(str(warning.message) for warning in warned)]).split()
        raise DeviceError(
            f"{device} is not available: ONNX Runtime fell back to the CPU. Messages of ONNX Runtime: "
            f"{' '.join(messages) or 'none'}. Check that the driver is installed (nvidia-smi) and that the extra 'gpu' "
            "installed CUDA and cuDNN, or use device='cpu'"
        )
    return session


def _missing_library(ort: ModuleType) -> str | None:
    """Return the reason why the library of the CUDA provider cannot be loaded, or None if no reason was found.

    ONNX Runtime would log the reason to stderr, and would raise no error. Therefore this function loads the library
    itself, and returns the error of the system's loader.

    One error is expected: the library needs a symbol that exists only when ONNX Runtime loads the library. The system's
    loader searches for symbols after it has found all libraries. An error about this symbol therefore means that no
    library is missing.
    """
    name = "onnxruntime_providers_cuda.dll" if sys.platform == "win32" else "libonnxruntime_providers_cuda.so"
    library = Path(str(ort.__file__)).parent / "capi" / name
    if sys.platform == "win32" or not library.exists():
        return None
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return None if _RESOLVED_BY_ONNXRUNTIME in str(error) else str(error)
    return None


def _session(ort: ModuleType, graph: bytes, options: Any, device: str, provider: Any) -> Any:
    try:
        # With enable_fallback=0, ONNX Runtime does not use the CPU if the requested provider fails. With
        # read_config_from_model=0, a model file cannot set session options.
        with no_fork():
            return ort.InferenceSession(graph, options, [provider], enable_fallback=0, read_config_from_model=0)
    except Exception as error:  # the exceptions of ONNX Runtime have no common base class
        if device != "cpu":
            raise DeviceError(
                f"{device} is not available: ONNX Runtime cannot open the graph on this GPU: {error}. See nvidia-smi "
                "for the GPUs of this machine, or use device='cpu'"
            ) from error
        raise BundleError(f"ONNX Runtime {ort.__version__} cannot load a graph of this bundle: {error}") from error
