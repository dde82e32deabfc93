"""The examples on which an export verifies and measures graphs: the caller's examples, or random examples."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from vaedge.bundle.reference import Inputs
from vaedge.detection.calibration import MIN_EXAMPLES
from vaedge.distributions.random import standard_normal
from vaedge.validation import as_batch, as_condition
from vaedge_export.errors import ExportError
from vaedge_export.spec import Spec

ExamplesLike = npt.ArrayLike | Mapping[str, npt.ArrayLike]

_SEED = 0


def validate_examples(examples: ExamplesLike, spec: Spec) -> Inputs:
    """Validate the caller's examples. Return them together with draws of z from N(0, I).

    Args:
        examples: Array (n, *input_shape). For a conditional model, a mapping from names to arrays. The names are
            "x" and those of the conditions.
        spec: The specification of the export.

    Raises:
        ExportError: A name of the mapping is missing or unknown, or variants cannot be measured on these examples.
        vaedge.InputError: The arrays are not valid inputs of the model.
    """
    inputs = _as_inputs(examples, "examples", spec)
    if spec.variants and (refusal := spec.likelihood.refusal(torch.from_numpy(inputs.x))):
        raise ExportError(f"variants cannot be measured on these examples: {refusal}")
    return inputs


def validate_calibration(examples: ExamplesLike, spec: Spec) -> Inputs:
    """Validate the normal examples that calibrate anomaly detection. The arguments are those of `validate_examples`.

    Raises:
        ExportError: A name of the mapping is missing or unknown, there are too few examples, or the likelihood cannot
            score the examples.
        vaedge.InputError: The arrays are not valid inputs of the model.
    """
    inputs = _as_inputs(examples, "calibration", spec)
    if len(inputs.x) < MIN_EXAMPLES:
        raise ExportError(
            f"calibration has {len(inputs.x)} normal examples; expected at least {MIN_EXAMPLES}. Hold out more "
            "examples, or use `vaedge calibrate` with other examples"
        )
    if refusal := spec.likelihood.refusal(torch.from_numpy(inputs.x)):
        raise ExportError(f"the examples in the argument calibration cannot be scored: {refusal}")
    return inputs


def _as_inputs(given: ExamplesLike, argument: str, spec: Spec) -> Inputs:
    arrays = dict(given) if isinstance(given, Mapping) else {"x": given}
    if arrays.keys() != {"x", *spec.conditions}:
        raise ExportError(
            f"{argument} has the arrays {', '.join(arrays)}; expected {', '.join(['x', *spec.conditions])}"
        )
    x = as_batch(arrays["x"], argument, spec.input_shape, spec.input_range, spec.encoding)
    conditions = {
        name: as_condition(arrays[name], f"{name} of {argument}", condition, len(x))
        for name, condition in spec.conditions.items()
    }
    return Inputs(x, standard_normal((len(x), *spec.latent_shape), _SEED), conditions)


def random_examples(n: int, spec: Spec) -> Inputs:
    """Draw n random examples with a fixed seed.

    If the values of x have a range, they are uniform in this range. Otherwise, they are N(0, 1) in standardized units.
    """
    rng = np.random.default_rng(_SEED)
    if spec.input_range is None:
        x = rng.standard_normal((n, *spec.input_shape), np.float32)
        if spec.standardization is not None:
            x = x * spec.standardization.std.numpy() + spec.standardization.mean.numpy()
    else:
        x = rng.uniform(*spec.input_range, (n, *spec.input_shape)).astype(np.float32)
    conditions = {
        name: rng.integers(len(condition.classes), size=(n, *condition.shape))
        if condition.classes
        else rng.standard_normal((n, *condition.shape), np.float32)
        for name, condition in spec.conditions.items()
    }
    return Inputs(x, standard_normal((n, *spec.latent_shape), _SEED), conditions)
