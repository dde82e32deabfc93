"""The CPUs and the memory of this process."""

import math
import os
import platform
import sys
from pathlib import Path

_INT8_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8")


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use, at least 1.

    The CPU affinity and the quota of the container limit this number. ONNX Runtime ignores the quota: its default
    number of threads is the number of cores of the host, which is too large in a container.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = container_quota()
    return max(1, affinity if quota is None else min(affinity, math.ceil(quota)))


def container_quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return the CPU quota of cgroup v2 or v1 as a number of CPUs, which can be fractional. None means no limit."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        cpus = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or an unknown format
        return None
    return cpus if cpus > 0 else None


def describe_cpu() -> str:
    """Describe the CPU in one line for reports: its model, and the instruction sets that it has for 8-bit products."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = found.get("flags", "").split()
    instruction_sets = [name for name in _INT8_FLAGS if name in flags]
    return " ".join(part for part in (found.get("model name", platform.machine()), *instruction_sets) if part)


def peak_memory() -> int | None:
    """Return the maximum resident memory of this process so far, in bytes; None if the system does not report it."""
    try:
        # Linux: ru_maxrss would contain the peak of the parent process before exec, and VmHWM does not.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
