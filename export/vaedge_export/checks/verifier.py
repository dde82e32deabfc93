"""The verifier: one ordered list of checks, each with an error of its own (`errors.py`), cheapest and clearest first.

    of the modules    training mode · size · outputs · finite · dependence on the input · meaning of the outputs
    of the graphs     names, types, shapes, free batch · purity · the same bytes twice · finite, and equal to torch

Nothing is written before the last one has passed.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

import vaedge
from vaedge_export.checks import graphs as check_graphs
from vaedge_export.checks import modules as check_modules
from vaedge_export.examples import Rows
from vaedge_export.graphs import DecoderWithMean, trace
from vaedge_train.model.likelihoods import Likelihood

ROWS = max(check_graphs.BATCHES)
Shapes = Mapping[str, tuple[int, ...]]


class Verifier:
    """Checks one pair of modules, and the graphs that become of them."""

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood, latent: Shapes, item: Shapes
    ) -> None:
        """Take what is to be verified.

        Args:
            encoder: x -> (mean, log_var).
            decoder: z -> the parameters of p(x|z).
            likelihood: p(x|z).
            latent: the encoder's outputs, by name, and their item shapes.
            item: the same of the decoder's graph, whose first output is the mean of p(x|z).
        """
        self._modules = {"encoder": encoder, "decoder": decoder}
        self._traced = {"encoder": encoder, "decoder": DecoderWithMean(decoder, likelihood)}
        self._outputs = {"encoder": latent, "decoder": item}
        self._likelihood = likelihood
        self._flushed = 0

    def check_modules(self, random: Rows, given: Rows | None) -> None:
        """Check the modules as they are, on random rows, and on the caller's examples where there are some."""
        for name, module in self._modules.items():
            check_modules.check_training_mode(name, module)
            check_modules.check_size(name, module)
        rows = given or random
        inputs = {"encoder": rows.to_encoder, "decoder": rows.to_decoder}
        parameters = {name: self._outputs["decoder"][name] for name in self._likelihood.parameters}
        check_modules.check_outputs("encoder", self._modules["encoder"], inputs["encoder"], self._outputs["encoder"])
        check_modules.check_outputs("decoder", self._modules["decoder"], inputs["decoder"], parameters)
        for name, module in self._traced.items():
            compute = check_modules.torch_function(module)
            check_modules.check_finite(name, tuple(self._outputs[name]), compute, inputs[name])
            check_modules.check_dependence(name, compute, inputs[name])
        _, *found = check_modules.torch_function(self._traced["decoder"])(inputs["decoder"])
        check_modules.check_logits(self._likelihood, found)
        if given is not None:
            check_modules.check_not_swapped(self._modules["encoder"], self._modules["decoder"], self._likelihood, given)

    def trace(self, random: Rows, metadata: Mapping[str, str]) -> dict[str, bytes]:
        """Trace both modules, each twice, and check the form of what came out.

        Returns:
            The graphs, under "encoder" and "decoder".
        """
        graphs = {}
        for name, inputs in (("encoder", random.to_encoder), ("decoder", random.to_decoder)):
            arguments = self._traced[name], name, inputs, tuple(self._outputs[name]), {**metadata, "graph": name}
            graphs[name], flushed = trace(*arguments)
            self._flushed += flushed
            check_graphs.check_purity(graphs[name], name)
            check_graphs.check_signature(graphs[name], name, inputs, self._outputs[name])
            check_graphs.check_same_bytes(name, graphs[name], trace(*arguments)[0])
        return graphs

    def check_variant(self, variant: str, graphs: tuple[bytes, bytes], random: Rows) -> None:
        """Check the form of a variant's graphs."""
        for name, content, inputs in zip(self._outputs, graphs, (random.to_encoder, random.to_decoder), strict=True):
            check_graphs.check_purity(content, f"{name}, {variant}", contrib=True)
            check_graphs.check_signature(content, f"{name}, {variant}", inputs, self._outputs[name])

    def compare(self, vae: vaedge.VAE, graphs: Mapping[str, bytes], random: Rows, given: Rows | None) -> dict[str, Any]:
        """Compare the runtime with torch on the examples, or on random rows; convolutions on both. Return the report.

        Noise drives a trained perceptron far outside of its data, where large terms cancel and no tolerance that is
        worth having holds; convolutions have the wider tolerance, and more ways to go wrong.
        """
        sides = {"encoder": check_graphs.runtime_encoder(vae), "decoder": check_graphs.runtime_decoder(vae)}
        convolves = any(map(check_graphs.has_convolutions, graphs.values()))
        tolerance = check_graphs.CONVOLUTION_TOLERANCE if convolves else check_graphs.TOLERANCE
        differences: dict[str, check_graphs.Difference] = {}
        for rows in (random, given) if given and convolves else (given or random,):
            for name, inputs in (("encoder", rows.to_encoder), ("decoder", rows.to_decoder)):
                torch_side = check_modules.torch_function(self._traced[name])
                found = check_graphs.check_agreement(
                    name, tuple(self._outputs[name]), torch_side, sides[name], inputs, tolerance
                )
                for output, difference in found.items():
                    differences[output] = difference.merged(differences.get(output, difference))
        return {
            "tolerance": tolerance,
            "batches": list(check_graphs.BATCHES),
            "inputs": "random rows" if given is None else "examples and random rows" if convolves else "examples",
            "denormal_weights_set_to_zero": self._flushed,
            "differences": {name: vars(difference) for name, difference in differences.items()},
        }

    def reference(self, rows: Rows) -> dict[str, np.typing.NDArray[Any]]:
        """Return the arrays of `reference.npz`: inputs, and what torch makes of them."""
        mean, log_var = check_modules.torch_function(self._traced["encoder"])(rows.to_encoder)
        decoded, *values = check_modules.torch_function(self._traced["decoder"])(rows.to_decoder)
        parameters = dict(zip(self._likelihood.parameters, values, strict=True))
        return {"x": rows.x, "mean": mean, "log_var": log_var, "z": rows.z, "decoded": decoded} | {
            **rows.told,
            **parameters,
        }
