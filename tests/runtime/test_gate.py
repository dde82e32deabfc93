"""Graphs that no bundle has are refused; those that bundles have pass."""

import json
import random

import pytest
from hostile.graphs import GRAPHS, graph, model, sizes, tensor

import vaedge
from vaedge.bundle.graph_checks import check_graph


@pytest.mark.parametrize("name", GRAPHS)
def test_a_hostile_graph_is_refused(name):
    with pytest.raises(vaedge.BundleError, match=r"\w"):
        check_graph(GRAPHS[name], contrib=False)


def test_a_plain_graph_passes():
    check_graph(model(graph(tensors=[tensor(), sizes(-1, 784), sizes(0, 2**63 - 1)])), contrib=False)
    check_graph(model(opsets=((b"", 20), (b"com.microsoft", 1))), contrib=True)


def test_every_graph_of_the_bundle_passes(bundle):
    for name, entry in json.loads((bundle / "manifest.json").read_text())["variants"].items():
        for file in (entry["encoder"], entry["decoder"]):
            check_graph((bundle / file).read_bytes(), contrib=name != "fp32")


def test_mutated_graphs_raise_nothing_else(bundle):
    """Bytes of a real graph's form changed at random: each is refused with a BundleError, or is a graph still."""
    rng, refused = random.Random(0), 0
    content = (bundle / "decoder.int8.onnx").read_bytes()
    form = content[:1500] + content[-6000:]  # mostly not weights
    for _ in range(3000):
        changed = bytearray(form)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        try:
            check_graph(bytes(changed), contrib=True)
        except vaedge.BundleError:
            refused += 1
    assert refused > 1000
