"""The default number of threads is the number of CPUs that the process may use."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vaedge.engine import cpus


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "0 100000\n"}, None),
        ({"cpu.max": "100000 0\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3.0),
        ({"cpu.max": "nonsense"}, None),
    ],
)
def test_quota_of_the_container_is_read(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpus.container_quota(tmp_path) == expected


@pytest.mark.parametrize(
    ("affinity", "quota", "expected"), [(8, None, 8), (8, 1.5, 2), (8, 2.0, 2), (2, 16.0, 2), (4, 0.1, 1), (0, None, 1)]
)
def test_usable_cpus_are_the_smaller_of_affinity_and_quota(monkeypatch, affinity, quota, expected):
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    monkeypatch.setattr(cpus, "container_quota", lambda: quota)
    assert cpus.usable_cpus() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 avx512f sse\n", "Some CPU @ 2 GHz avx2 avx512f"),
        ("model name : Other\nflags : avx_vnni amx_int8 avx512_vnni\n", "Other avx_vnni avx512_vnni amx_int8"),
        ("cpu family : 6\n", "machine"),
        (None, "machine"),
    ],
)
def test_description_names_the_model_and_the_int8_instruction_sets(monkeypatch, text, expected):
    def read_text(*_):
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(cpus.Path, "read_text", read_text)
    monkeypatch.setattr(cpus.platform, "machine", lambda: "machine")
    assert cpus.describe_cpu() == expected


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_peak_memory_is_in_bytes(monkeypatch, platform, unit):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(cpus.sys, "platform", platform)
    monkeypatch.setattr(cpus.Path, "read_text", lambda _: "")  # not Linux
    assert 10_000 * unit < cpus.peak_memory() <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def test_peak_memory_is_unknown_if_the_system_does_not_report_it(monkeypatch):
    monkeypatch.setattr(cpus.Path, "read_text", lambda _: "")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert cpus.peak_memory() is None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc, which only Linux has")
def test_peak_memory_does_not_contain_the_parent_process():
    program = "from vaedge.engine.cpus import peak_memory; print(peak_memory())"
    own = np.ones(2**27 // 8)  # 128 MiB
    found = int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout)
    assert 1_000_000 < found < own.nbytes
