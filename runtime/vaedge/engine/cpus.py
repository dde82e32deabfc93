"""How many processors this process may use, for the default of `threads`."""

import math
import os
import platform
import sys
from pathlib import Path

_VECTOR_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8")


def usable_cpus() -> int:
    """Count the processors that the scheduler and the container's quota leave to this process (at least 1).

    ONNX Runtime's own default counts the host's cores, which oversubscribes containers.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota(Path("/sys/fs/cgroup"))
    return max(1, affinity if quota is None else min(affinity, math.ceil(quota)))


def processor() -> str:
    """Name the processor and what of it makes 8-bit graphs fast, for a measurement to stand beside."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = found.get("flags", "").split()
    vector = [name for name in _VECTOR_FLAGS if name in flags]
    return " ".join(part for part in (found.get("model name", platform.machine()), *vector) if part)


def peak_memory() -> int | None:
    """Return the largest resident size that this process had, in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _cgroup_quota(root: Path) -> float | None:
    """Return the processor quota of cgroup v2 or v1 in processors, or None where there is no limit."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None  # "max", or something that is no quota
    return share if share > 0 else None
