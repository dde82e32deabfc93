"""Describe the hardware and the software of a measurement."""

import os
import platform
import subprocess
from dataclasses import dataclass

import numpy as np

from vaedge.benchmark.fields import ReportFields, read_by
from vaedge.engine.cpus import container_quota, describe_cpu, usable_cpus
from vaedge.engine.onnxruntime import import_onnxruntime

_NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """The machine on which a measurement ran.

    Attributes:
        cpu: Model of the CPU, and the instruction sets that it has for 8-bit products.
        cores: Number of logical cores of the machine.
        usable_cpus: Number of CPUs that this process may use: the minimum of the affinity and the container quota.
        container_quota: Number of CPUs that the container may use, which can be fractional. None without a limit.
        memory_bytes: Size of the memory. None if the system does not report it.
        gpus: Name and driver version of each GPU, if ONNX Runtime supports CUDA.
    """

    cpu: str = read_by(ReportFields.text)
    cores: int = read_by(ReportFields.integer)
    usable_cpus: int = read_by(ReportFields.integer)
    container_quota: float | None = read_by(ReportFields.positive, null=True)
    memory_bytes: int | None = read_by(ReportFields.integer, null=True)
    gpus: tuple[str, ...] = read_by(lambda entry, key: entry.texts(key, empty=True))

    @classmethod
    def of_this_machine(cls) -> "Hardware":
        """Describe this machine."""
        return cls(
            cpu=describe_cpu() or "unknown",
            cores=os.cpu_count() or 1,
            usable_cpus=usable_cpus(),
            container_quota=container_quota(),
            memory_bytes=_memory_bytes(),
            gpus=_gpus(),
        )


def software() -> dict[str, str]:
    """Return a dict from the name to the version of each software component that runs graphs in this process."""
    return {
        "onnxruntime": str(import_onnxruntime().__version__),
        "numpy": np.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
    }


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no os.sysconf
        return None


def _gpus() -> tuple[str, ...]:
    """Return the name and the driver version of each GPU, as nvidia-smi prints them."""
    if "CUDAExecutionProvider" not in import_onnxruntime().get_available_providers():
        return ()
    try:
        found = subprocess.run(_NVIDIA_SMI, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in found.stdout.splitlines() if line.strip())
