"""The merged graph of encoder and decoder gives the same results as the two graphs."""

import threading

import numpy as np
import pytest

import vaedge
from vaedge.engine.merge import merge_graphs


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_merged_graph_computes_the_same_as_both_graphs(bundle, digits, variant):
    vae = vaedge.load(bundle, variant=variant)
    np.testing.assert_allclose(vae.reconstruct(digits), vae.decode(vae.encode(digits).mean), atol=1e-6)


def test_merged_graph_is_made_once_when_it_is_first_needed(bundle, digits, monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return merge_graphs(*arguments)

    monkeypatch.setattr("vaedge.engine.sessions.merge_graphs", counted)
    vae = vaedge.load(bundle)
    vae.sample(3, seed=0)
    vae.encode(digits)
    assert not calls
    threads = [threading.Thread(target=vae.reconstruct, args=(digits,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
