"""The default number of threads counts what the process may use."""

import pytest

from vaedge.engine import cpus


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3.0),
        ({"cpu.max": "nonsense"}, None),
    ],
)
def test_quota(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpus._cgroup_quota(tmp_path) == expected


@pytest.mark.parametrize(("affinity", "quota", "expected"), [(8, None, 8), (8, 1.5, 2), (2, 16.0, 2), (4, 0.1, 1)])
def test_the_smaller_of_affinity_and_quota(monkeypatch, affinity, quota, expected):
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda _: set(range(affinity)))
    monkeypatch.setattr(cpus, "_cgroup_quota", lambda _: quota)
    assert cpus.usable_cpus() == expected
