"""Import ONNX Runtime, and require the version that a bundle needs."""

import functools
import re
from pathlib import Path
from types import ModuleType

from vaedge.errors import DependencyError, install_hint

_WHEELS = frozenset(("onnxruntime", "onnxruntime_gpu"))


def require_onnxruntime(minimum: str) -> None:
    """Check that ONNX Runtime is recent enough for a bundle.

    Raises:
        DependencyError: The installed ONNX Runtime is older than `minimum`.
    """
    installed = import_onnxruntime().__version__
    if _numbers(installed) < _numbers(minimum):
        raise DependencyError(
            f"this bundle needs onnxruntime >= {minimum}, but {installed} is installed: upgrade onnxruntime"
        )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


@functools.cache
def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime.

    Raises:
        DependencyError: ONNX Runtime is missing or broken, or onnxruntime and onnxruntime-gpu are both installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise DependencyError(
            f"vaedge cannot import ONNX Runtime: {error}. Install exactly one of the extras 'cpu' and "
            f"'gpu' (CUDA): {install_hint('cpu')}"
        ) from error
    # This search finds the installed wheels. importlib.metadata gives the same result, but takes ten times as long, or
    # 10 % of the start-up time.
    folder = Path(onnxruntime.__file__).parents[1]
    if len({name.name.partition("-")[0] for name in folder.glob("onnxruntime*.dist-info")} & _WHEELS) > 1:
        raise DependencyError(
            "onnxruntime and onnxruntime-gpu are both installed and have overwritten each other's files: "
            f"pip uninstall both, then install exactly one of the extras 'cpu' and 'gpu': {install_hint('cpu')}"
        )
    module: ModuleType = onnxruntime
    return module
