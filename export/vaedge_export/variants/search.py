"""Make a variant whose ELBO is lower than that of fp32 by at most a given budget.

If necessary, some layers stay in float32.
"""

import math
from collections.abc import Collection, Mapping

import onnx

from vaedge_export.errors import LossError
from vaedge_export.graphs import Graphs, serialize
from vaedge_export.networks import Array, Network
from vaedge_export.variants.measure import Comparison
from vaedge_export.variants.quantize import QUANTIZERS, layers

_CALIBRATION_EXAMPLES = 256

_Layer = tuple[str, str]  # name of the network, name of the layer


def make_variant(
    name: str, networks: tuple[Network, Network], comparison: Comparison, allow_loss: float | None
) -> tuple[Graphs, list[str]]:
    """Quantize both graphs, except for as many layers as necessary to keep the loss within the budget.

    If the loss of the fully quantized model exceeds the budget, one layer after another is kept in float32. The layer
    that recovers the most nats per weight comes first. The nats that a layer recovers are the decrease of the loss if
    only this layer is in float32.

    Args:
        name: Name of the variant, a key of QUANTIZERS.
        networks: The encoder and the decoder.
        comparison: The comparison of variants with the float32 graphs.
        allow_loss: The budget: the maximum decrease of the ELBO, in nats per example. None means the default budget of
            the comparison.

    Returns:
        The graphs, and the names of the layers that stay in float32.

    Raises:
        LossError: The loss exceeds the budget, and no further layer can be kept in float32.
    """
    budget = comparison.budget if allow_loss is None else allow_loss
    examples = comparison.examples.repeated(_CALIBRATION_EXAMPLES)
    parts = list(zip(networks, comparison.fp32, strict=True))

    def quantize(keep: Collection[_Layer]) -> Graphs:
        return Graphs(
            *(
                _quantize(
                    name, content, network.inputs(examples), [layer for part, layer in keep if part == network.name]
                )
                for network, content in parts
            )
        )

    kept: list[_Layer] = []
    graphs = quantize(kept)
    loss = comparison.loss(name, graphs)
    if loss > budget and QUANTIZERS[name].can_keep_layers:
        weights = {
            (network.name, layer): count for network, content in parts for layer, count in layers(content).items()
        }
        recovered = {layer: loss - comparison.loss(name, quantize([layer])) for layer in weights}
        for layer in keeping_order(weights, recovered)[:-1]:  # the last layer is always quantized
            kept.append(layer)
            graphs = quantize(kept)
            loss = comparison.loss(name, graphs)
            if loss <= budget:
                break
    if loss > budget:
        raise LossError(
            f"variant {name} loses {loss:.3f} nats per example, but the budget is {budget:.3f}: omit the variant, or "
            f"raise the budget (allow_loss, --allow-loss) to {_rounded_up(loss):g}"
        )
    return graphs, [f"{part}: {layer}" for part, layer in kept]


def keeping_order(weights: Mapping[_Layer, int], recovered: Mapping[_Layer, float]) -> list[_Layer]:
    """Return the layers in the order in which they are kept in float32.

    The first layer is the one that recovers the most nats per weight.

    Args:
        weights: Dict from layer to its number of weights.
        recovered: Dict from layer to the nats per example that are recovered if only this layer is in float32. Values
            that are not finite count as 0.
    """
    return sorted(
        weights, key=lambda layer: -recovered[layer] / weights[layer] if math.isfinite(recovered[layer]) else 0.0
    )


def _rounded_up(loss: float) -> float:
    """Return the loss, rounded up to a multiple of 0.001."""
    return math.ceil(1000 * loss) / 1000 if math.isfinite(loss) else loss


def _quantize(name: str, content: bytes, inputs: Mapping[str, Array], keep: Collection[str]) -> bytes:
    """Return the graph of a variant. It has the metadata of the float32 graph, and the field `variant` in addition."""
    original = onnx.load_model_from_string(content)
    metadata = {entry.key: entry.value for entry in original.metadata_props}
    quantized = QUANTIZERS[name].quantize(content, inputs, keep)
    return serialize(quantized, original.graph.name, {**metadata, "variant": name})
