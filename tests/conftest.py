"""Settings of all tests, with and without pytest-xdist."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two workers with a pool of OpenMP threads each would compete for the same cores. torch reads this when it is
    # imported, and child processes inherit it. ONNX Runtime does not: its sessions get their number of threads.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
