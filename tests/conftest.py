"""Settings of pytest for all tests. They also work with pytest-xdist, which runs tests in several processes."""

import os
import signal

# A shell starts background jobs with SIGINT ignored. Child processes would inherit this, so that Ctrl-C has no effect.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER" in os.environ:
    # If each worker had a pool of OpenMP threads, the pools would compete for the same cores. torch reads the variable
    # when it is imported, and child processes inherit it. ONNX Runtime ignores it: each session has its own setting.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
