"""How many processors this process may use, for the default of `threads`."""

import math
import os
from pathlib import Path


def usable_cpus() -> int:
    """Count the processors that the scheduler and the container's quota leave to this process (at least 1).

    ONNX Runtime's own default counts the host's cores, which oversubscribes containers.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota(Path("/sys/fs/cgroup"))
    return max(1, affinity if quota is None else min(affinity, math.ceil(quota)))


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
