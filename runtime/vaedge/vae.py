"""The VAE that an app embeds: sample, reconstruct, encode, decode, score, interpolate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray, Nats
from vaedge.bundle.manifest import Manifest
from vaedge.bundle.reader import Bundle, ModelFiles, read_bundle
from vaedge.distributions.bounds import Bounds, estimate_bounds
from vaedge.distributions.likelihoods import require_scorable
from vaedge.distributions.posterior import Posterior
from vaedge.distributions.prior import Prior, read_prior
from vaedge.engine.chunks import run
from vaedge.engine.merge import RECONSTRUCTION
from vaedge.engine.sessions import Sessions
from vaedge.errors import BundleError, InputError
from vaedge.validation import LATENT_RANGE, as_batch, as_condition, as_count, as_example

Conditions: TypeAlias = Mapping[str, npt.ArrayLike]
_Arrays: TypeAlias = dict[str, npt.NDArray[Any]]


class VAE:
    """A loaded bundle.

    Immutable except for `close()`. Sessions are opened lazily: the first call that needs the encoder opens its session,
    and ONNX Runtime may then refuse a graph that was not made by the exporter with a BundleError. Threads may share a
    VAE, forked processes may inherit it, and a pickle of it loads the same bundle. All randomness comes from the seeds
    of the calls.

    A conditional model takes its conditions in every call as a mapping, one value per example or one for all:
    `vae.sample(10, conditions={"y": range(10)})`. The keyword `y` is a shorthand for a condition of that name.
    `manifest.conditions` lists the conditions of a model.

    Attributes:
        manifest: The bundle's manifest.
        sha256: SHA-256 of the bundle's `manifest.json`, for `vaedge.load(sha256=...)`; None for a VAE that was not read
            from a bundle.
        variant: Name of the loaded variant.
        device: Device of the graphs: "cpu" or "cuda:N".
        threads: Number of CPU threads that each call may use.
        prior: p(z).
    """

    manifest: Manifest
    sha256: str | None
    variant: str
    device: str
    threads: int
    prior: Prior

    def __init__(self, files: ModelFiles, *, device: str = "cpu", threads: int | None = None) -> None:
        """Open the sessions. `vaedge.load` is the usual way to make a VAE, and documents the errors."""
        self.manifest = files.manifest
        self.sha256 = files.sha256 if isinstance(files, Bundle) else None
        self.variant = files.variant
        self.prior = _read_prior(files)
        self._sessions = Sessions(files, device, threads)
        self.device, self.threads = self._sessions.device, self._sessions.threads
        self._origin: tuple[object, ...] | None = None
        if isinstance(files, Bundle):
            self._origin = files.path.absolute(), files.variant, files.sha256, device, threads

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example of `x`, without the batch axis."""
        return self.manifest.input_shape

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one `z`, without the batch axis."""
        return self.manifest.latent_shape

    def encode(
        self, x: FloatArray, *, conditions: Conditions | None = None, y: npt.ArrayLike | None = None
    ) -> Posterior:
        """Return q(z|x) for each example; deterministic.

        Args:
            x: (n, *input_shape), floating point, inside the manifest's input range.
            conditions: Values of a conditional model's conditions, by name.
            y: Shorthand for the condition "y".

        Returns:
            mean and log_var, each (n, *latent_shape) float32.

        Raises:
            InputError: x has a wrong shape or dtype, is empty, or holds NaN or values out of range; or the conditions
                are not those of the model.
            InferenceError: ONNX Runtime failed.
        """
        x = self._as_examples(x)
        return self._encode(x, self._as_conditions(conditions, y, len(x)))

    def decode(
        self,
        z: FloatArray,
        *,
        conditions: Conditions | None = None,
        y: npt.ArrayLike | None = None,
        out: FloatArray | None = None,
    ) -> FloatArray:
        """Return the mean of p(x|z) for each latent.

        Args:
            z: (n, *latent_shape), floating point, absolute values up to a million.
            conditions: Values of a conditional model's conditions, by name.
            y: Shorthand for the condition "y".
            out: float32 (n, *input_shape) array to write into and return.

        Returns:
            (n, *input_shape) float32.

        Raises:
            InputError: z, `out` or a condition is invalid or missing.
            InferenceError: ONNX Runtime failed.
        """
        z = as_batch(z, "z", self.latent_shape, LATENT_RANGE)
        return self._decode(z, self._as_conditions(conditions, y, len(z)), out)

    def parameters(
        self, z: FloatArray, *, conditions: Conditions | None = None, y: npt.ArrayLike | None = None
    ) -> dict[str, FloatArray]:
        """Return the parameters of p(x|z) for each latent, by name (for a Bernoulli: "logits").

        Args:
            z: (n, *latent_shape), floating point, absolute values up to a million.
            conditions: Values of a conditional model's conditions, by name.
            y: Shorthand for the condition "y".

        Returns:
            One (n, *input_shape) float32 array for each name in the manifest's `parameters`.

        Raises:
            InputError: z or a condition is invalid or missing.
            InferenceError: ONNX Runtime failed.
        """
        z = as_batch(z, "z", self.latent_shape, LATENT_RANGE)
        found = self._parameters(z, self._as_conditions(conditions, y, len(z)))
        return dict(zip(self.manifest.parameters, found, strict=True))

    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        conditions: Conditions | None = None,
        y: npt.ArrayLike | None = None,
        out: FloatArray | None = None,
    ) -> FloatArray:
        """Draw z from the prior and return the means of p(x|z).

        Args:
            n: Number of samples, at least 1.
            seed: The same seed gives the same z on every machine; None uses fresh entropy.
            conditions: Values of a conditional model's conditions, by name.
            y: Shorthand for the condition "y".
            out: float32 (n, *input_shape) array to write into and return.

        Returns:
            (n, *input_shape) float32.

        Raises:
            InputError: n, the seed, `out` or a condition is invalid or missing.
            InferenceError: ONNX Runtime failed.
        """
        n = as_count(n, "n")
        values = self._as_conditions(conditions, y, n)
        return self._decode(self.prior.sample(n, seed), values, out)

    def reconstruct(
        self,
        x: FloatArray,
        *,
        sample: bool = False,
        seed: int | None = None,
        conditions: Conditions | None = None,
        y: npt.ArrayLike | None = None,
        out: FloatArray | None = None,
    ) -> FloatArray:
        """Encode and decode: through the posterior's mean, or through a draw from the posterior.

        Args:
            x: (n, *input_shape), floating point, inside the manifest's input range.
            sample: Draw z from q(z|x) instead of taking its mean.
            seed: Seed of the draw, only with sample=True; None uses fresh entropy.
            conditions: Values of a conditional model's conditions, by name; both graphs receive the same.
            y: Shorthand for the condition "y".
            out: float32 (n, *input_shape) array to write into and return; it may overlap x.

        Returns:
            (n, *input_shape) float32.

        Raises:
            InputError: x, the seed, `out` or a condition is invalid or missing, or a seed was given without
                sample=True.
            InferenceError: ONNX Runtime failed.
        """
        x = self._as_examples(x)
        values = self._as_conditions(conditions, y, len(x))
        if sample:
            return self._decode(self._encode(x, values).sample(seed), values, out)
        if seed is not None:
            raise InputError("a seed was given, but reconstruct draws nothing unless sample=True")
        return run(self._sessions.reconstructor, {"x": x, **values}, (RECONSTRUCTION,), out)[0]

    def log_prob(
        self,
        x: FloatArray,
        *,
        k: int = 100,
        seed: int | None = None,
        conditions: Conditions | None = None,
        y: npt.ArrayLike | None = None,
    ) -> Nats:
        """Return the importance-weighted bound on log p(x) of each example (Burda et al. 2016).

        Args:
            x: (n, *input_shape), floating point, inside the manifest's input range; 0 and 1 for a Bernoulli.
            k: Number of draws of z per example. The bound becomes tighter with more draws; one draw estimates the ELBO.
            seed: The same seed gives the same draws; None uses fresh entropy.
            conditions: Values of a conditional model's conditions, by name. The bound is then one on
                log p(x | conditions).
            y: Shorthand for the condition "y".

        Returns:
            (n,) float64, nats. Larger values are more likely.

        Raises:
            InputError: x, k, the seed or a condition is invalid or missing, or p(x|z) is not a normalized distribution
                (bce_surrogate).
            InferenceError: ONNX Runtime failed.
        """
        require_scorable(self.manifest.likelihood)
        return self.bounds(x, k=k, seed=seed, conditions=conditions, y=y).importance_weighted

    def bounds(
        self,
        x: FloatArray,
        *,
        k: int = 100,
        seed: int | None = None,
        conditions: Conditions | None = None,
        y: npt.ArrayLike | None = None,
    ) -> Bounds:
        """Return the ELBO and the importance-weighted bound of each example, estimated from the same draws.

        For `bce_surrogate`, which is not a normalized likelihood, they compare only with numbers of the same kind.

        Args:
            x: As for `log_prob`.
            k: As for `log_prob`.
            seed: As for `log_prob`.
            conditions: As for `log_prob`.
            y: As for `log_prob`.

        Returns:
            elbo and importance_weighted, each (n,) float64, nats.

        Raises:
            InputError: x, k, the seed or a condition is invalid or missing, or the likelihood is unknown.
            InferenceError: ONNX Runtime failed.
        """
        k = as_count(k, "k")
        x = self._as_examples(x)
        likelihood = require_scorable(self.manifest.likelihood, x, surrogate=True)
        values = self._as_conditions(conditions, y, len(x))

        def encode(rows: slice) -> Posterior:
            return self._encode(x[rows], {name: array[rows] for name, array in values.items()})

        def decode(z: FloatArray, rows: slice) -> Sequence[FloatArray]:
            draws = len(z) // (rows.stop - rows.start)
            return self._parameters(z, {name: np.repeat(array[rows], draws, 0) for name, array in values.items()})

        return estimate_bounds(x, encode, decode, self.prior, likelihood, k=k, seed=seed)

    def interpolate(
        self,
        a: FloatArray,
        b: FloatArray,
        steps: int = 8,
        *,
        conditions: Conditions | None = None,
        y: npt.ArrayLike | None = None,
    ) -> FloatArray:
        """Decode the straight line between the posterior means of two examples.

        Args:
            a: The first example, input_shape (no batch axis).
            b: The last example, input_shape.
            steps: Number of results, both ends included; at least 2.
            conditions: Values of a conditional model's conditions, by name: one for all steps, or one for each.
            y: Shorthand for the condition "y".

        Returns:
            (steps, *input_shape) float32: the means of p(x|z) along the line.

        Raises:
            InputError: An example, `steps` or a condition is invalid or missing.
            InferenceError: ONNX Runtime failed.
        """
        steps = as_count(steps, "steps", 2)
        value_range = self.manifest.input_range
        ends = [as_example(end, name, self.input_shape, value_range) for end, name in ((a, "a"), (b, "b"))]
        values = self._as_conditions(conditions, y, steps)
        both = {name: np.stack([array[0], array[-1]]) for name, array in values.items()}
        first, last = self._encode(np.concatenate(ends), both).mean
        weight = np.linspace(0, 1, steps, dtype=np.float32).reshape(-1, *(1,) * first.ndim)
        return self._decode((1 - weight) * first + weight * last, values)

    def close(self) -> None:
        """Release the sessions and their memory; later calls raise ClosedError. Also usable as a context manager."""
        self._sessions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        shapes = f"{self.input_shape} -> {self.latent_shape}"
        return f"<vaedge.VAE {self.manifest.name} {shapes} {self.variant} on {self.device}>"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the bundle's path and SHA-256; unpickling reads and verifies the same bundle, or refuses it."""
        if self._origin is None:
            raise TypeError("this VAE was not read from a bundle and cannot be pickled")
        return _load_pickled, self._origin

    def _encode(self, x: FloatArray, conditions: _Arrays) -> Posterior:
        return Posterior(*run(self._sessions.encoder, {"x": x, **conditions}, ("mean", "log_var")))

    def _decode(self, z: FloatArray, conditions: _Arrays, out: FloatArray | None = None) -> FloatArray:
        return run(self._sessions.decoder, {"z": z, **conditions}, ("x",), out)[0]

    def _parameters(self, z: FloatArray, conditions: _Arrays) -> list[FloatArray]:
        return run(self._sessions.decoder, {"z": z, **conditions}, self.manifest.parameters)

    def _as_examples(self, x: FloatArray) -> FloatArray:
        return as_batch(x, "x", self.input_shape, self.manifest.input_range)

    def _as_conditions(self, given: Conditions | None, y: npt.ArrayLike | None, n: int) -> _Arrays:
        """Return the values of all conditions for a batch of n examples."""
        expected = self.manifest.conditions
        if not given and not expected and y is None:
            return {}
        if given is not None and not isinstance(given, Mapping):
            raise InputError(f"conditions is a {type(given).__name__}; expected a mapping from names to values")
        values = dict(given or {})
        if y is not None:
            if "y" in values:
                raise InputError("y was given twice: as a keyword and in conditions")
            values["y"] = y
        if values.keys() != expected.keys():
            raise InputError(
                f"conditions given: {', '.join(map(str, values)) or 'none'}; "
                f"this model takes: {', '.join(expected) or 'none'}"
            )
        return {name: as_condition(values[name], name, condition, n) for name, condition in expected.items()}


def _read_prior(files: ModelFiles) -> Prior:
    manifest = files.manifest
    try:
        return read_prior(manifest.prior, files.prior, manifest.latent_shape)
    except BundleError as error:
        raise BundleError(f"{files.locate(str(manifest.prior_file))} is refused: {error}") from error.__cause__


def _load_pickled(path: Path, variant: str, sha256: str, device: str, threads: int | None) -> VAE:
    return VAE(read_bundle(path, variant, sha256), device=device, threads=threads)
