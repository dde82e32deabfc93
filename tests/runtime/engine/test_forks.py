"""A forked child can use the VAE of its parent with new sessions, and then exits normally."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")

# The child runs some code and then exits normally, so that destructors run. An alarm ends a child that hangs. The time
# until the alarm is long enough for slow machines.
_FORK = """
import os, signal, sys
import numpy as np, vaedge
vae = vaedge.load(sys.argv[1], threads=2)
x = np.zeros((64, *vae.input_shape), np.float32)
expected = vae.reconstruct(x), vae.encode(x).mean, vae.sample(64, seed=0)
child = os.fork()
if child == 0:
    signal.alarm(600)
    {child}
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
again = vae.reconstruct(x), vae.encode(x).mean, vae.sample(64, seed=0)
assert all(np.array_equal(*pair) for pair in zip(expected, again))
"""


@pytest.mark.parametrize(
    "child",
    [
        "pass",
        "del vae",
        "vae.close()",
        "assert np.array_equal(vae.reconstruct(x), expected[0])",
        "found = vae.reconstruct(x), vae.encode(x).mean, vae.sample(64, seed=0); "
        "assert all(np.array_equal(*pair) for pair in zip(expected, found))",
        "vae.close(); vaedge.load(sys.argv[1]).sample(1)",
        "import threading; thread = threading.Thread(target=vae.sample, args=(1,)); thread.start(); thread.join()",
    ],
    ids=[
        *("exits", "deletes the VAE", "closes the VAE", "reconstructs", "runs every graph", "loads another VAE"),
        "samples in a thread",
    ],
)
def test_child_uses_the_vae_and_exits(bundle, child):
    subprocess.run([sys.executable, "-c", _FORK.format(child=child), str(bundle)], check=True)


def test_grandchild_uses_the_vae_and_exits(bundle):
    child = """
    grandchild = os.fork()
    vae.sample(3, seed=1)
    if grandchild:
        assert os.waitpid(grandchild, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", _FORK.format(child=child.strip()), str(bundle)], check=True)


_UNDER_LOAD = """
import os, signal, sys, threading
import numpy as np, vaedge
vae = vaedge.load(sys.argv[1], threads=2)
x = np.zeros((8, *vae.input_shape), np.float32)
expected, done = vae.reconstruct(x), threading.Event()
def busy():
    while not done.is_set():
        vae.reconstruct(x)
        vaedge.load(sys.argv[1], threads=2).sample(1)
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(int(sys.argv[2])):
    child = os.fork()
    if child == 0:
        signal.alarm(600)
        os._exit(0 if np.array_equal(vae.reconstruct(x), expected) else 1)
    _, status = os.waitpid(child, 0)
    if status:
        break
done.set()
sys.exit(status != 0)
"""


@pytest.mark.parametrize("forks", [30, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.heavy
def test_fork_waits_for_threads_that_open_sessions(bundle, forks):
    """If a thread held a lock during a fork, the child would wait forever, because it is forked without that thread."""
    subprocess.run([sys.executable, "-c", _UNDER_LOAD, str(bundle), str(forks)], check=True)


_POOL = """
import multiprocessing, sys
import numpy as np, vaedge
vae = vaedge.load(sys.argv[1])
x = np.random.default_rng(0).random((8, *vae.input_shape), np.float32)
expected = vae.reconstruct(x)
with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
    for found in pool.map(vae.reconstruct, [x] * 4):
        np.testing.assert_array_equal(found, expected)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes_use_the_vae(bundle, method):
    """The pool runs in a new process, because libraries such as Ray may have changed the signal handlers of pytest."""
    subprocess.run([sys.executable, "-c", _POOL, str(bundle), method], check=True)
