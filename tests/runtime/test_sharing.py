"""One VAE in many hands: threads, pickles, other processes."""

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import vaedge
import vaedge.chunks


def test_threads_share_one_vae(vae, digits):
    expected = vae.reconstruct(digits)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: vae.reconstruct(digits), range(200)):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda vae: pickle.loads(pickle.dumps(vae))])
def test_a_copy_opens_the_same_bundle(bundle, digits, duplicate):
    vae = vaedge.load(bundle, threads=1)
    again = duplicate(vae)
    assert repr(again) == repr(vae)
    np.testing.assert_array_equal(again.reconstruct(digits), vae.reconstruct(digits))


def test_another_process_gets_it_by_pickle(vae, tmp_path):
    (tmp_path / "vae.pickle").write_bytes(pickle.dumps(vae))
    code = "import pickle, numpy; numpy.save('x.npy', pickle.load(open('vae.pickle', 'rb')).sample(3, seed=0))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), vae.sample(3, seed=0))


def test_an_old_onnxruntime_is_refused(edit_manifest):
    with pytest.raises(vaedge.DependencyError, match="needs onnxruntime >= 99.0"):
        vaedge.load(edit_manifest(lambda tree: tree.update(minimum_onnxruntime="99.0")))


def test_overlapping_output(vae, monkeypatch):
    monkeypatch.setattr(vaedge.chunks, "CHUNK", 4)
    buffer = np.random.default_rng(0).random((20, 1, 28, 28), np.float32)
    expected = vae.reconstruct(buffer[:16].copy())
    np.testing.assert_array_equal(vae.reconstruct(buffer[:16], out=buffer[3:19]), expected)
