"""Compare the outputs of the graphs in ONNX Runtime with the outputs of the modules in PyTorch."""

from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np

from vaedge import VAE
from vaedge.bundle.reference import Inputs
from vaedge_export.checks.graphs import has_convolutions
from vaedge_export.errors import AgreementError, FiniteError
from vaedge_export.graphs import Graphs
from vaedge_export.networks import Array, Network
from vaedge_export.spec import Spec

BATCH_SIZES = (1, 2, 7, 64)
# Maximum difference between a graph and its module, relative to max(unit, |value|). The unit is 1 or, for standardized
# data, the standard deviation. An absolute tolerance of 1e-5 would be too strict for large logits: neighboring float32
# values near -145 are 1.5e-5 apart.
TOLERANCE = 1e-5
# Maximum difference for graphs with convolutions. ONNX Runtime and torch add thousands of products in different orders.
CONVOLUTION_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Difference:
    """The difference between two arrays.

    Attributes:
        absolute: Maximum of |found - expected|.
        scaled: Maximum of |found - expected| / max(unit, |expected|). The unit is 1 or, if the model
            standardizes its data, the standard deviation of the data before standardization. The export fails if
            `scaled` exceeds the tolerance.
        magnitude: Maximum of |expected|.
    """

    absolute: float
    scaled: float
    magnitude: float

    @classmethod
    def between(cls, expected: Array, found: Array, unit: Array | float = 1) -> "Difference":
        """Compare two arrays of the same shape. `unit` is a number, or an array that broadcasts to their shape."""
        distance, size = np.abs(found - expected), np.abs(expected)
        return cls(float(distance.max()), float((distance / np.maximum(unit, size)).max()), float(size.max()))

    def merged(self, other: "Difference") -> "Difference":
        """Combine two differences: each attribute of the result is the larger of the two values."""
        return Difference(*map(max, astuple(self), astuple(other)))


def compare(
    spec: Spec, vae: VAE, graphs: Graphs, random: Inputs, real: Inputs | None, denormals: int
) -> dict[str, Any]:
    """Compare the float32 graphs with the modules, and return the value of `verification` in the manifest.

    Without real examples, the graphs are compared on random examples. With real examples, graphs without convolutions
    are compared only on the real ones. In a trained perceptron, random examples produce large terms that cancel, so
    rounding errors would exceed any useful tolerance. Graphs with convolutions have a wider tolerance, and are compared
    on both kinds of examples.

    Args:
        spec: The specification of the export.
        vae: The float32 graphs in ONNX Runtime, with the same optimizations as on the user's device.
        graphs: The float32 graphs.
        random: At least 64 random examples.
        real: At least 64 real examples, or None.
        denormals: Number of weights that were set to zero, for the report.

    Raises:
        FiniteError: An output is NaN or infinite.
        AgreementError: A difference exceeds the tolerance.
    """
    convolves = any(map(has_convolutions, graphs))
    tolerance = CONVOLUTION_TOLERANCE if convolves else TOLERANCE
    compared, description = [random], "random examples"
    if real is not None:
        compared, description = [real], "examples"
        if convolves:
            compared, description = [random, real], "examples and random examples"
    differences: dict[str, Difference] = {}
    for examples in compared:
        for network in spec.networks:
            for output, difference in check_agreement(network, vae, examples, tolerance).items():
                differences[output] = difference.merged(differences.get(output, difference))
    return {
        "tolerance": tolerance,
        "batches": list(BATCH_SIZES),
        "inputs": description,
        "denormal_weights_set_to_zero": denormals,
        "differences": {name: asdict(difference) for name, difference in differences.items()},
    }


def check_agreement(network: Network, vae: VAE, examples: Inputs, tolerance: float) -> dict[str, Difference]:
    """Run a module and its graph on batches of 1, 2, 7 and 64 examples, and compare the outputs.

    Args:
        network: The module.
        vae: The graphs in ONNX Runtime.
        examples: At least 64 examples.
        tolerance: Maximum difference, relative to max(unit, |value|). `network.units` holds the unit of each output.

    Returns:
        Dict from the name of each output to the maximum difference over all batches.

    Raises:
        FiniteError: An output is NaN or infinite.
        AgreementError: A difference exceeds the tolerance.
    """
    largest: dict[str, Difference] = {}
    for batch_size in BATCH_SIZES:
        batch = examples.repeated(batch_size)
        expected, found = network.compute(network.inputs(batch)), _run(network.name, vae, batch)
        for output, array in expected.items():
            where = f"the {network.name} at batch size {batch_size}"
            difference = compare_arrays(where, output, array, found[output], tolerance, network.units.get(output, 1))
            largest[output] = difference.merged(largest.get(output, difference))
    return largest


def compare_arrays(
    where: str, output: str, expected: Array, found: Array, tolerance: float, unit: Array | float = 1
) -> Difference:
    """Compare one output of a module with the same output of the module's graph.

    Args:
        where: Description of the network and the batch size, for the error message.
        output: Name of the output.
        expected: The output of the module.
        found: The output of the graph.
        tolerance: Maximum difference, relative to max(unit, |value|).
        unit: 1, or the standard deviations of the data if the model standardizes its data.

    Raises:
        FiniteError: An output is NaN or infinite.
        AgreementError: The shapes differ, or the difference exceeds the tolerance.
    """
    for side, array in (("torch module", expected), ("graph", found)):
        if not np.isfinite(array).all():
            raise FiniteError(f"{where}: the {side} yields NaN or infinity in {output}")
    if expected.shape != found.shape:
        raise AgreementError(f"{where}: {output} has shape {found.shape}; expected {expected.shape}, as in torch")
    difference = Difference.between(expected, found, unit)
    if difference.scaled > tolerance:
        raise AgreementError(
            f"{where}: {output} differs from torch by {difference.absolute:.1e}; the largest absolute value in torch "
            f"is {difference.magnitude:.3g}; expected at most {tolerance:.0e} times max("
            f"{1 if np.ndim(unit) == 0 else 'standard deviation'}, |value|)"
        )
    return difference


def _run(name: str, vae: VAE, examples: Inputs) -> dict[str, Array]:
    """Run one graph, and return a dict from the name of each output to the array."""
    conditions = examples.conditions
    if name == "encoder":
        posterior = vae.encode(examples.x, conditions=conditions)
        return {"mean": posterior.mean, "log_var": posterior.log_var}
    return {"x": vae.decode(examples.z, conditions=conditions), **vae.parameters(examples.z, conditions=conditions)}
