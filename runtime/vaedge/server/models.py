"""The models of the protocol: each operation of a bundle is one model."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from vaedge import VAE, InputError
from vaedge.distributions.likelihoods import LIKELIHOODS
from vaedge.server.limits import Limits
from vaedge.server.protocol import VERSION, Request
from vaedge.server.responses import RequestError, invalid
from vaedge.server.tensors import Array
from vaedge.validation import LATENT_RANGE, as_batch, as_conditions, as_count

Arrays = dict[str, Array]
# A function that takes arrays of n rows, and returns arrays of n rows.
Run = Callable[[Arrays], Arrays]

MAX_SEED = 2**128 - 1
_NUMBERS = {"float32": "FP32", "int64": "INT64"}
_SIZES = {"FP32": 4, "FP64": 8, "BOOL": 1}  # bytes of an element of an output
# Dict from the name of each operation to the names of its parameters.
_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "encode": (),
    "decode": (),
    "sample": ("seed", "draw"),
    "reconstruct": ("seed", "draw"),
    "log_prob": ("seed", "k"),
    "detect": ("false_alarm_rate", "maps"),
}


class Tensor(NamedTuple):
    """The metadata of an input or an output. In `shape`, -1 means any number of rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Call(NamedTuple):
    """A validated call. Calls with the same `run` may run together, with their rows in one batch.

    Attributes:
        run: The function that computes the outputs.
        inputs: Dict from the name of each input to its array.
        rows: Number of rows of each array.
    """

    run: Run
    inputs: Arrays
    rows: int


def models_of(vaes: Iterable[VAE], limits: Limits) -> dict[str, "Model"]:
    """Return the models for all operations of some bundles, as a dict from the name of each model to the model.

    Raises:
        InputError: Two bundles have the same name.
    """
    models: dict[str, Model] = {}
    for vae in vaes:
        if f"{vae.manifest.name}.decode" in models:
            raise InputError(f"two bundles have the name {vae.manifest.name!r}; serve bundles with different names")
        runs: dict[str, Run] = {
            "encode": partial(_encode, vae),
            "decode": partial(_decode, vae),
            "reconstruct": partial(_reconstruct, vae),
        }
        absent = absent_models(vae)
        for operation in _PARAMETERS:
            if f"{vae.manifest.name}.{operation}" not in absent:
                model = Model(vae, operation, runs, limits)
                models[model.name] = model
    return models


def absent_models(vae: VAE) -> dict[str, str]:
    """Return the models that a bundle lacks, as a dict from the name of each model to the reason why it is absent."""
    name, likelihood = vae.manifest.name, vae.manifest.likelihood
    reasons = {}
    if not LIKELIHOODS[likelihood].normalized:
        reasons[f"{name}.log_prob"] = (
            f"{name} has no log_prob, because its likelihood {likelihood} is not a normalized distribution of x; "
            "serve a bundle with another likelihood"
        )
    if vae.calibration is None:
        reasons[f"{name}.detect"] = (
            f"{name} has no detect, because its variant {vae.variant} has no calibration; serve a bundle from "
            "vaedge export --calibration, or load the bundle with a calibration and pass it to create_app"
        )
    return reasons


class Model:
    """One operation of a bundle.

    Attributes:
        name: The name of the bundle, a dot, and the operation.
        vae: The loaded bundle.
        joins: Whether calls may run together in one batch. This requires fp32 on the CPU, because results of int8
            depend on the batch, and GPUs round differently for each batch size. `log_prob` and `detect` run alone.
        is_steady: Whether times can be predicted: the time of a call from its number of rows, and the time to read a
            request from the size of its body. This is False for the operation `sample`, because its latents are drawn
            while the request is read.
        inputs: The metadata of the inputs.
        outputs: The metadata of the outputs.
    """

    def __init__(self, vae: VAE, operation: str, runs: Mapping[str, Run], limits: Limits) -> None:
        """Describe the operation. `runs` holds the functions that all models of the bundle share."""
        self.name = f"{vae.manifest.name}.{operation}"
        self.vae = vae
        is_independent = vae.variant == "fp32" and vae.device == "cpu"
        self.joins = is_independent and operation not in ("log_prob", "detect")
        self.is_steady = self.joins and operation != "sample"
        self._operation, self._runs, self._limits = operation, runs, limits
        first, self.outputs = _signature(vae, operation)
        conditions = [
            Tensor(name, _NUMBERS[condition.dtype], (-1, *condition.shape))
            for name, condition in vae.manifest.conditions.items()
        ]
        self.inputs = (first, *conditions)
        self._first = first.name
        self._input_names = frozenset(tensor.name for tensor in self.inputs)
        self._output_names = tuple(output.name for output in self.outputs)
        self.row_bytes = sum(_SIZES[output.datatype] * int(np.prod(output.shape[1:])) for output in self.outputs)
        self._max_rows = max(1, limits.result_bytes // self.row_bytes)
        if operation == "log_prob":
            self._max_rows = min(self._max_rows, limits.draws)

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of the model in the form of the protocol."""
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": "vaedge",
            "inputs": [tensor._asdict() for tensor in self.inputs],
            "outputs": [tensor._asdict() for tensor in self.outputs],
            "parameters": {
                "operation": self._operation,
                "sha256": self.vae.sha256,
                "variant": self.vae.variant,
                "device": self.vae.device,
                "max_rows": self._max_rows,
            },
        }

    def prepare(self, request: Request) -> Call:
        """Validate a request, and return its call.

        For the operation `sample`, this method also draws the latents, unless x is drawn from p(x|z).

        Raises:
            RequestError: An input, an output, or a parameter is unknown or missing, or the request has too many rows.
            InputError: The value of an input or of a parameter is invalid.
        """
        parameters = request.parameters
        _require_known("parameters", parameters, _PARAMETERS[self._operation])
        _require_known("outputs", request.outputs, self._output_names)
        if "maps" in request.outputs and not _flag(parameters, "maps"):
            raise invalid('the output "maps" was requested without the parameter "maps"; set the parameter to true')
        if request.inputs.keys() != self._input_names:
            expected = ", ".join(tensor.name for tensor in self.inputs)
            raise invalid(f"inputs given: {', '.join(request.inputs) or 'no inputs'}; {self.name} takes {expected}")
        manifest = self.vae.manifest
        values = dict(request.inputs)
        first = values.pop(self._first)
        if self._operation == "sample":
            rows = self._count(first)
            conditions = as_conditions(values, None, manifest.conditions, rows)
            return self._sample(rows, conditions, parameters)
        if self._operation == "decode":
            first = as_batch(first, "z", manifest.latent_shape, LATENT_RANGE)
        else:
            first = as_batch(first, "x", manifest.input_shape, manifest.input_range, manifest.encoding)
        rows = len(first)
        if rows > self._max_rows:
            raise RequestError(413, f"the request has {rows} rows; send at most {self._max_rows} rows per request")
        conditions = as_conditions(values, None, manifest.conditions, rows)
        return Call(self._run(rows, parameters), {self._first: first, **conditions}, rows)

    def _count(self, n: Array) -> int:
        """Return the number of samples."""
        if n.dtype.kind not in "iu" or n.shape != (1,):
            raise InputError(f"n must be INT64 of shape [1], got {n.dtype} of shape {list(n.shape)}")
        return as_count(int(n[0]), "n", 1, self._max_rows)

    def _sample(self, rows: int, conditions: Arrays, parameters: Mapping[str, Any]) -> Call:
        vae, seed = self.vae, _seed(parameters)
        if _flag(parameters, "draw"):
            return Call(partial(_draw_samples, vae, rows, seed), conditions, rows)
        # The latents depend only on the seed of this request, so they can join a batch of `decode`.
        return Call(self._shared("decode"), {"z": vae.prior.sample(rows, seed), **conditions}, rows)

    def _run(self, rows: int, parameters: Mapping[str, Any]) -> Run:
        vae = self.vae
        if self._operation == "log_prob":
            k = as_count(parameters.get("k", 100), "k", 1, max(1, self._limits.draws // max(1, rows)))
            return partial(_log_prob, vae, k, _seed(parameters))
        if self._operation == "detect":
            return partial(_detect, vae, parameters.get("false_alarm_rate", 0.01), _flag(parameters, "maps"))
        if parameters:  # only `reconstruct` has parameters here
            return partial(_reconstruct, vae, draw=_flag(parameters, "draw"), seed=_seed(parameters))
        return self._shared(self._operation)

    def _shared(self, name: str) -> Run:
        """Return the function that a call runs. Calls with the same function may be joined in one batch.

        If the calls of this model must not be joined, return a new function for each call.
        """
        return self._runs[name] if self.joins else partial(self._runs[name])


def _signature(vae: VAE, operation: str) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the first input and the outputs of an operation."""
    x, z = (-1, *vae.input_shape), (-1, *vae.latent_shape)
    from_x = Tensor("x", "FP32", x)
    if operation == "encode":
        return from_x, (Tensor("mean", "FP32", z), Tensor("log_var", "FP32", z))
    if operation == "decode":
        return Tensor("z", "FP32", z), (from_x,)
    if operation == "sample":
        return Tensor("n", "INT64", (1,)), (from_x,)
    if operation == "reconstruct":
        return from_x, (Tensor("reconstruction", "FP32", x),)
    if operation == "log_prob":
        return from_x, (Tensor("log_prob", "FP64", (-1,)),)
    results = Tensor("score", "FP32", (-1,)), Tensor("p_value", "FP64", (-1,)), Tensor("is_anomaly", "BOOL", (-1,))
    return from_x, (*results, Tensor("maps", "FP32", x))  # `maps` is returned only if requested


def _require_known(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise invalid(f"unknown {kind}: {', '.join(unknown)[:100]}; this model has {', '.join(known) or f'no {kind}'}")


def _seed(parameters: Mapping[str, Any]) -> int | None:
    """Return the seed. A string of digits is allowed, because JavaScript cannot express large integers."""
    seed = parameters.get("seed")
    if isinstance(seed, str) and seed.isascii() and seed.isdecimal() and len(seed) <= len(str(MAX_SEED)):
        seed = int(seed)
    return None if seed is None else as_count(seed, "seed", 0, MAX_SEED)


def _flag(parameters: Mapping[str, Any], name: str) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise invalid(f"{name} must be true or false")
    return value


def _conditions(vae: VAE, inputs: Arrays) -> Arrays:
    return {name: inputs[name] for name in vae.manifest.conditions}


def _encode(vae: VAE, inputs: Arrays) -> Arrays:
    posterior = vae.encode(inputs["x"], conditions=_conditions(vae, inputs))
    return {"mean": posterior.mean, "log_var": posterior.log_var}


def _decode(vae: VAE, inputs: Arrays) -> Arrays:
    return {"x": vae.decode(inputs["z"], conditions=_conditions(vae, inputs))}


def _reconstruct(vae: VAE, inputs: Arrays, *, draw: bool = False, seed: int | None = None) -> Arrays:
    conditions = _conditions(vae, inputs)
    return {"reconstruction": vae.reconstruct(inputs["x"], draw=draw, seed=seed, conditions=conditions)}


def _draw_samples(vae: VAE, n: int, seed: int | None, inputs: Arrays) -> Arrays:
    return {"x": vae.sample(n, seed=seed, draw=True, conditions=_conditions(vae, inputs))}


def _log_prob(vae: VAE, k: int, seed: int | None, inputs: Arrays) -> Arrays:
    return {"log_prob": vae.log_prob(inputs["x"], k=k, seed=seed, conditions=_conditions(vae, inputs))}


def _detect(vae: VAE, rate: float, maps: bool, inputs: Arrays) -> Arrays:
    found = vae.detect(inputs["x"], false_alarm_rate=rate, maps=maps, conditions=_conditions(vae, inputs))
    results: Arrays = {"score": found.score, "p_value": found.p_value, "is_anomaly": found.is_anomaly}
    return results if found.maps is None else {**results, "maps": found.maps}
