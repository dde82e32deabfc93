"""One VAE in many hands: threads, pickles, other processes."""

import asyncio
import copy
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import vaedge
import vaedge.engine.chunks


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
    monkeypatch.setattr(vaedge.engine.chunks, "CHUNK", 4)
    buffer = np.random.default_rng(0).random((20, 1, 28, 28), np.float32)
    expected = vae.reconstruct(buffer[:16].copy())
    np.testing.assert_array_equal(vae.reconstruct(buffer[:16], out=buffer[3:19]), expected)


def test_a_process_pool(bundle, digits):
    """`Batch` is what is sent to workers: it loads the bundle there, once."""
    expected = vaedge.load(bundle, threads=1).encode(digits)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for found in pool.map(vaedge.Batch(bundle), [{"x": digits}] * 4):
            np.testing.assert_array_equal(found["mean"], expected.mean)


def test_a_pickle_of_a_bundle_that_has_changed(edit_manifest, copied):
    content = pickle.dumps(vaedge.load(copied))
    edit_manifest(lambda tree: tree.update(name="other"))
    with pytest.raises(vaedge.BundleError, match="another bundle"):
        pickle.loads(content)


def test_asyncio_is_not_blocked(vae, digits):
    """`asyncio.to_thread` is the await-able form: the loop goes on while ONNX Runtime works."""
    many = np.repeat(digits, 1000, 0)

    async def work():
        ticks = 0
        calls = asyncio.gather(*(asyncio.to_thread(vae.reconstruct, many) for _ in range(4)))
        while not calls.done():
            await asyncio.sleep(0.001)
            ticks += 1
        return await calls, ticks

    found, ticks = asyncio.run(work())
    assert ticks >= 10
    for array in found:
        np.testing.assert_array_equal(array, vae.reconstruct(many))


def test_use_after_close(bundle, digits):
    with vaedge.load(bundle) as vae:
        posterior = vae.encode(digits)
    vae.close()
    assert posterior.mean.shape == (8, 20)
    for call in (
        lambda: vae.encode(digits),
        lambda: vae.decode(posterior.mean),
        lambda: vae.sample(1),
        lambda: vae.reconstruct(digits),
    ):
        with pytest.raises(vaedge.ClosedError, match="was closed"):
            call()


def test_closing_while_others_call(bundle, digits):
    expected = vaedge.load(bundle).reconstruct(digits)

    def call(vae):
        try:
            while True:
                np.testing.assert_array_equal(vae.reconstruct(digits), expected)
        except vaedge.ClosedError:
            return True

    for _ in range(20):
        vae = vaedge.load(bundle)
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(call, vae) for _ in range(4)]
            vae.reconstruct(digits)
            vae.close()
            assert all(future.result(30) for future in calls)


def resident():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_loading_and_closing_leaks_nothing(bundle, digits):
    def cycle():
        vae = vaedge.load(bundle)
        vae.reconstruct(digits)
        vae.close()

    for _ in range(50):
        cycle()
    before = resident()
    for _ in range(200):
        cycle()
    assert resident() - before < 1_000_000


@pytest.mark.parametrize("calls", [50, pytest.param(10_000, marks=pytest.mark.slow)])
def test_sixteen_threads_of_mixed_calls(bundle, calls):
    """Every call's bits are those of the same call alone, and memory stays where it was."""
    vae = vaedge.load(bundle.parent / "mnist")  # with a prior that is a mixture, and a likelihood that scores
    rng = np.random.default_rng(0)
    x = rng.random((64, *vae.input_shape), np.float32)
    z = rng.standard_normal((64, *vae.latent_shape), np.float32)
    sizes = (1, 2, 3, 7, 8, 17, 64)
    operations = {
        "encode": lambda n: vae.encode(x[:n]).mean,
        "decode": lambda n: vae.decode(z[:n]),
        "sample": lambda n: vae.sample(n, seed=n),
        "reconstruct": lambda n: vae.reconstruct(x[:n]),
        "log_prob": lambda n: vae.log_prob(x[:n].round(), k=2, seed=0),
    }
    expected = {(name, n): call(n) for name, call in operations.items() for n in sizes}

    def work(seed):
        order = np.random.default_rng(seed)
        for _ in range(calls):
            name, n = str(order.choice(list(operations))), int(order.choice(sizes))
            np.testing.assert_array_equal(operations[name](n), expected[name, n])
        return calls

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(work, range(16))) == 16 * calls
        before = resident()
        assert sum(pool.map(work, range(16, 32))) == 16 * calls
        assert resident() - before < 20_000_000


def test_many_models_in_one_process(bundle, digits):
    """Bundles, variants and thread counts side by side, called in any order, give what each gives alone."""
    kinds = [
        (model, variant, threads)
        for model in ("article", "mnist")
        for variant in ("fp32", "int8")
        for threads in (1, 2)
    ]
    alone = {}
    for model, variant, threads in kinds:
        with vaedge.load(bundle.parent / model, variant=variant, threads=threads) as vae:
            alone[model, variant, threads] = vae.reconstruct(digits)
    together = {kind: vaedge.load(bundle.parent / kind[0], variant=kind[1], threads=kind[2]) for kind in kinds * 2}
    for kind in [*kinds, *reversed(kinds)]:
        np.testing.assert_array_equal(together[kind].reconstruct(digits), alone[kind])
