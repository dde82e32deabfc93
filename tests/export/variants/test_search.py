"""The search for layers to keep in float32."""

import numpy as np
import onnx
import pytest

import vaedge_export.variants.search as search
from vaedge_export import LossError
from vaedge_export.variants.quantize import Quantizer, layers
from vaedge_export.variants.search import keeping_order, make_variant


def test_variants_are_the_same_bytes_the_second_time(small, spec, comparison):
    for name in ("int8", "fp16"):
        graphs, kept = make_variant(name, spec.networks, comparison, None)
        assert kept == []
        assert graphs.encoder == (small / f"encoder.{name}.onnx").read_bytes()
        assert graphs.decoder == (small / f"decoder.{name}.onnx").read_bytes()


def test_layers_stay_in_float32_until_the_loss_is_within_the_budget(spec, comparison):
    """The test quantizes to int4, because the loss of int4 is much larger than the uncertainty of the measurement."""
    whole, none_kept = make_variant("int4", spec.networks, comparison, 1000)
    assert none_kept == []
    loss = comparison.loss("int4", whole)
    graphs, kept = make_variant("int4", spec.networks, comparison, 0.7 * loss)
    assert 0 < len(kept) < 4
    assert comparison.loss("int4", graphs) <= 0.7 * loss
    assert sum(map(len, graphs)) > sum(map(len, whole))
    names = {
        f"{network.name}: {layer}"
        for network, content in zip(spec.networks, comparison.fp32, strict=True)
        for layer in layers(content)
    }
    assert set(kept) < names


class Losses:
    """A substitute for Comparison. Each call returns the next one of the given losses."""

    def __init__(self, comparison, losses):
        self.fp32, self.examples, self.budget = comparison.fp32, comparison.examples, 0.5
        self.losses, self.calls = losses, []

    def loss(self, name, graphs):
        self.calls.append(graphs)
        return self.losses.pop(0)


def test_variant_over_its_budget_is_refused_with_its_loss(spec, comparison):
    count = sum(len(layers(content)) for content in comparison.fp32)
    with pytest.raises(LossError) as caught:
        make_variant("int4", spec.networks, Losses(comparison, [2.0] * (2 * count)), 0.0001)
    message = str(caught.value)
    assert "variant int4 loses 2.000 nats" in message
    assert "the budget is 0.000: omit the variant, or raise the budget (allow_loss, --allow-loss) to" in message


@pytest.fixture
def unchanged(monkeypatch):
    """Replace the quantizers by functions that return the graph unchanged.

    Returns:
        A list to which each call of these functions appends the names of the layers to keep in float32.
    """
    kept = []

    def quantize(content, inputs, keep):
        kept.append(list(keep))
        return onnx.load_model_from_string(content)

    for name, can_keep in (("int8", True), ("fp16", False)):
        monkeypatch.setitem(search.QUANTIZERS, name, Quantizer(quantize, can_keep_layers=can_keep))
    return kept


def test_loss_equal_to_the_budget_is_accepted(spec, comparison, unchanged):
    _, kept = make_variant("int8", spec.networks, Losses(comparison, [0.5]), None)
    assert kept == []
    assert unchanged == [[], []]
    make_variant("fp16", spec.networks, Losses(comparison, [0.25]), 0.25)
    with pytest.raises(LossError, match=r"variant fp16 loses 0\.251 nats per example, but the budget is 0\.250"):
        make_variant("fp16", spec.networks, Losses(comparison, [0.251]), 0.25)


def test_layers_are_kept_in_order_until_the_loss_equals_the_budget(spec, comparison, unchanged):
    # The losses are those of the graphs with all layers quantized, of the graphs with each single layer in float32, and
    # of the graphs in which the search keeps one layer and two layers.
    losses = Losses(comparison, [2.0, 1.9, 0.1, 1.0, 1.0, 1.0, 1.0, 0.5])
    count = sum(len(layers(content)) for content in comparison.fp32)
    losses.losses = [2.0, *[1.99] * (count - 1), 0.1, 1.0, 0.5]
    _, kept = make_variant("int8", spec.networks, losses, None)
    last = list(layers(comparison.fp32.decoder))[-1]
    assert kept[0] == f"decoder: {last}"
    assert len(kept) == 2
    assert unchanged[-1][0] == last


def test_one_layer_is_always_quantized(spec, comparison, unchanged):
    count = sum(len(layers(content)) for content in comparison.fp32)
    losses = Losses(comparison, [2.0, *[1.0] * count, *[0.75] * (count - 1)])
    with pytest.raises(LossError, match=r"raise the budget \(allow_loss, --allow-loss\) to 0\.75$"):
        make_variant("int8", spec.networks, losses, None)
    assert losses.losses == []
    assert max(
        len(encoder) + len(decoder) for encoder, decoder in zip(unchanged[::2], unchanged[1::2], strict=True)
    ) == (count - 1)


def test_layers_are_ordered_by_nats_per_weight_and_infinite_gains_come_last():
    weights = {("encoder", "a"): 10, ("encoder", "b"): 1, ("decoder", "c"): 5, ("decoder", "d"): 5}
    recovered = dict(zip(weights, (2.0, 0.1, 3.0, float("-inf")), strict=True))
    assert [layer for _, layer in keeping_order(weights, recovered)] == ["c", "a", "b", "d"]


def test_budget_in_the_message_is_rounded_up_and_suffices(spec, comparison, unchanged):
    with pytest.raises(LossError, match=r"to 0\.124$"):
        make_variant("fp16", spec.networks, Losses(comparison, [0.1231]), 0.0)
    with pytest.raises(LossError, match="variant fp16 loses inf nats per example, .* to inf$"):
        make_variant("fp16", spec.networks, Losses(comparison, [np.inf]), 0.0)


def test_quantizers_get_256_examples_of_each_input(spec, comparison, monkeypatch):
    shapes = []

    def quantize(content, inputs, keep):
        shapes.append({name: array.shape for name, array in inputs.items()})
        return onnx.load_model_from_string(content)

    monkeypatch.setitem(search.QUANTIZERS, "int8", Quantizer(quantize, can_keep_layers=True))
    make_variant("int8", spec.networks, Losses(comparison, [0.0]), None)
    assert shapes == [{"x": (256, 1, 28, 28)}, {"z": (256, 8)}]
