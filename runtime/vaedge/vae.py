"""The class VAE, which samples, reconstructs, encodes, decodes, scores and interpolates."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray, Nats
from vaedge.bundle.manifest import Manifest
from vaedge.bundle.reader import Bundle, CalibrationFile, ModelFiles, read_bundle
from vaedge.distributions.bounds import Bounds, Decode, Encode, estimate_bounds
from vaedge.distributions.draws import Draws
from vaedge.distributions.likelihoods import Likelihood, require_scorable
from vaedge.distributions.posterior import Posterior
from vaedge.distributions.prior import Prior, read_prior
from vaedge.engine.chunks import as_output, rows_per_run, run, without_overlap
from vaedge.engine.merge import RECONSTRUCTION
from vaedge.engine.sessions import Sessions
from vaedge.errors import BundleError, InputError
from vaedge.validation import LATENT_RANGE, Conditions, as_batch, as_conditions, as_count, as_example

if TYPE_CHECKING:  # only `detect` and `calibrate` need this package, and import it
    from vaedge.detection.calibration import Calibration as Calibration  # `load` uses the name, too
    from vaedge.detection.result import Detection
    from vaedge.detection.terms import Terms

_CALIBRATION_BATCH = 64
_Arrays: TypeAlias = dict[str, npt.NDArray[Any]]


class VAE:
    """A loaded bundle.

    Immutable except for `close()`. Threads may share a VAE. Forked processes may use the VAE of their parent. A VAE can
    be pickled: unpickling loads the same bundle again. All random numbers come from the `seed` arguments.

    Sessions of ONNX Runtime are opened lazily. The first call that needs the encoder opens its session. This call
    raises BundleError if ONNX Runtime cannot load the encoder, which does not happen with graphs that vaedge exported.

    A conditional model needs its conditions in every call: `vae.sample(2, conditions={"y": ["circle", "square"]})`.
    `conditions` maps the name of each condition to one value per example, or to one value for all examples. A class is
    given by its number or its name. The keyword `y` is a shorthand for the condition "y". `manifest.conditions` lists
    the conditions of a model and the names of their classes.

    The methods raise InputError if an argument is invalid, or if a condition is missing or unknown. An array is invalid
    if it is empty, has a wrong shape or type, or holds NaN or values out of range. The methods raise InferenceError if
    ONNX Runtime fails, and ClosedError after `close()`.

    Attributes:
        manifest: The bundle's manifest.
        sha256: SHA-256 of the bundle's `manifest.json`, as `vaedge.load(sha256=...)` expects it. None if the VAE was
            not read from a bundle.
        variant: Name of the loaded variant.
        device: Device that runs the graphs: "cpu" or "cuda:N".
        threads: Number of CPU threads that each call may use.
        prior: The prior p(z).
        calibration: The calibration of `detect`, or None.
    """

    manifest: Manifest
    sha256: str | None
    variant: str
    device: str
    threads: int
    prior: Prior
    calibration: "Calibration | None"

    def __init__(self, files: ModelFiles, *, device: str = "cpu", threads: int | None = None) -> None:
        """Open the session of the decoder. Most callers use `vaedge.load`, whose documentation lists the errors."""
        self.manifest = files.manifest
        self.sha256 = files.sha256 if isinstance(files, Bundle) else None
        self.variant = files.variant
        self.prior = _read_prior(files)
        self.calibration = _read_calibration(files)
        self._model_sha256 = files.model_sha256
        self._sessions = Sessions(files, device, threads)
        self.device, self.threads = self._sessions.device, self._sessions.threads
        self._origin: tuple[object, ...] | None = None
        if isinstance(files, Bundle):
            self._origin = files.path.absolute(), files.variant, files.sha256, device, threads, files.calibration

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
        """Return the posterior q(z|x) of each example. The result is deterministic.

        Args:
            x: Examples, shape (n, *input_shape) with n >= 1. The values are floating point and inside the manifest's
                input range. uint8 is accepted, too, if the manifest has an encoding.
            conditions: Values of the conditions by name, for a conditional model.
            y: Shorthand for the condition "y".

        Returns:
            The posterior. Its `mean` and `log_var` are float32 arrays of shape (n, *latent_shape).
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
            z: Latents, floating point, shape (n, *latent_shape). Absolute values must be at most 1e6.
            conditions: Values of the conditions by name, for a conditional model.
            y: Shorthand for the condition "y".
            out: Array that receives the result and is returned, float32, shape (n, *input_shape).

        Returns:
            The means of p(x|z), float32, shape (n, *input_shape).
        """
        z = as_batch(z, "z", self.latent_shape, LATENT_RANGE)
        return self._decode(z, self._as_conditions(conditions, y, len(z)), out)

    def parameters(
        self, z: FloatArray, *, conditions: Conditions | None = None, y: npt.ArrayLike | None = None
    ) -> dict[str, FloatArray]:
        """Return the parameters of p(x|z) for each latent. A Bernoulli has one parameter, "logits".

        Args:
            z: Latents, floating point, shape (n, *latent_shape). Absolute values must be at most 1e6.
            conditions: Values of the conditions by name, for a conditional model.
            y: Shorthand for the condition "y".

        Returns:
            Dict from each name in the manifest's `parameters` to a float32 array of shape (n, *input_shape).
        """
        z = as_batch(z, "z", self.latent_shape, LATENT_RANGE)
        found = self._parameters(z, self._as_conditions(conditions, y, len(z)))
        return dict(zip(self.manifest.parameters, found, strict=True))

    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        draw: bool = False,
        conditions: Conditions | None = None,
        y: npt.ArrayLike | None = None,
        out: FloatArray | None = None,
    ) -> FloatArray:
        """Draw z from the prior, and return the means of p(x|z) or draws from p(x|z).

        Args:
            n: Number of samples, at least 1.
            seed: The same seed gives the same z on every machine; None uses fresh entropy.
            draw: Draw x from p(x|z) instead of taking its mean. The means vary less than the data.
            conditions: Values of the conditions by name, for a conditional model.
            y: Shorthand for the condition "y".
            out: Array that receives the result and is returned, float32, shape (n, *input_shape).

        Returns:
            The means of p(x|z), or the draws with draw=True, float32, shape (n, *input_shape).

        Raises:
            InputError: `draw` is True, but the likelihood is `bce_surrogate`, which is not a distribution of x.
        """
        n = as_count(n, "n")
        values = self._as_conditions(conditions, y, n)
        draws = self._draws(seed) if draw else None
        return self._decode(self.prior.sample(n, seed), values, out, draws)

    def reconstruct(
        self,
        x: FloatArray,
        *,
        sample: bool = False,
        draw: bool = False,
        seed: int | None = None,
        conditions: Conditions | None = None,
        y: npt.ArrayLike | None = None,
        out: FloatArray | None = None,
    ) -> FloatArray:
        """Encode examples, and decode the mean of each posterior or one draw from each posterior.

        Args:
            x: As for `encode`.
            sample: Draw z from q(z|x) instead of taking its mean.
            draw: Draw x from p(x|z) instead of taking its mean.
            seed: Seed of the draws, allowed only with sample=True or draw=True. None uses fresh entropy.
            conditions: Values of the conditions by name, for a conditional model. Both graphs receive the same values.
            y: Shorthand for the condition "y".
            out: Array that receives the result and is returned, float32, shape (n, *input_shape). It may overlap `x`.

        Returns:
            The means of p(x|z), or the draws with draw=True, float32, shape (n, *input_shape).

        Raises:
            InputError: A seed was given without sample=True or draw=True. Or `draw` is True, but the likelihood is
                `bce_surrogate`, which is not a distribution of x.
        """
        x = self._as_examples(x)
        values = self._as_conditions(conditions, y, len(x))
        if sample or draw:
            draws = self._draws(seed) if draw else None
            posterior = self._encode(x, values)
            return self._decode(posterior.sample(seed) if sample else posterior.mean, values, out, draws)
        if seed is not None:
            raise InputError("a seed was given, but reconstruct uses it only with sample=True or draw=True")
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
            x: As for `encode`. For a Bernoulli, all values must be 0 or 1.
            k: Number of draws of z per example. More draws make the bound tighter. k = 1 gives an estimate of the ELBO.
            seed: The same seed gives the same draws; None uses fresh entropy.
            conditions: Values of the conditions by name. The result is then a bound on log p(x | conditions).
            y: Shorthand for the condition "y".

        Returns:
            One bound per example, in nats, float64, shape (n,). A larger value means a more likely example.

        Raises:
            InputError: The likelihood is not normalized (`bce_surrogate`) or unknown.
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
        """Return the ELBO and the importance-weighted bound of each example, estimated from the same draws of z.

        `bce_surrogate` is not a normalized likelihood. The bounds of models that have this likelihood can be
        compared only with each other.

        Args:
            x: As for `log_prob`.
            k: As for `log_prob`.
            seed: As for `log_prob`.
            conditions: As for `log_prob`.
            y: As for `log_prob`.

        Returns:
            The bounds `elbo` and `importance_weighted`, both in nats, float64, shape (n,).

        Raises:
            InputError: The likelihood is unknown.
        """
        k = as_count(k, "k")
        x = self._as_examples(x)
        likelihood = self._likelihood(x)
        encode, decode = self._steps(x, self._as_conditions(conditions, y, len(x)))
        return estimate_bounds(x, encode, decode, self.prior, likelihood, k=k, seed=seed)

    def detect(
        self,
        x: FloatArray,
        *,
        false_alarm_rate: float = 0.01,
        maps: bool = False,
        conditions: Conditions | None = None,
        y: npt.ArrayLike | None = None,
    ) -> "Detection":
        """Decide for each example whether it is an anomaly. The result is deterministic.

        `vaedge.detection.score` documents the score. The p-value is computed from the score and from the scores of the
        calibration examples. On average over all possible calibrations, a normal example is called an anomaly with a
        probability of at most the false-alarm rate.

        Args:
            x: As for `encode`. For a Bernoulli, all values must be 0 or 1.
            false_alarm_rate: An example is called an anomaly if its p-value is at most this rate. The rate must be at
                least 1 / (n + 1), where n is the number of calibration examples.
            maps: Whether to return the distortion of each element of x, too.
            conditions: Values of the conditions by name, for a conditional model.
            y: Shorthand for the condition "y".

        Returns:
            The score, the p-value and the decision of each example. In fp32, the results of an example do not depend
            on the other examples in `x`, except for rounding in networks with convolutions.

        Raises:
            InputError: The VAE has no calibration. Or `false_alarm_rate` is not a number between 0 and 1, or is too
                small for the number of calibration examples.
        """
        calibration = self.calibration
        if calibration is None:
            raise InputError(
                f"variant {self.variant} of {self.manifest.name} has no calibration, which detection needs: "
                "run `vaedge calibrate BUNDLE NORMAL_EXAMPLES --out FILE.npz` and load the bundle with "
                "calibration=FILE.npz, or export it with a calibration"
            )
        from vaedge.detection.result import Detection

        rate = calibration.require_rate(false_alarm_rate)
        x = self._as_examples(x)
        distortions = np.empty(x.shape, np.float32) if maps else None
        terms = self._terms(x, self._as_conditions(conditions, y, len(x)), distortions)
        score = calibration.score(terms)
        p_value = calibration.p_values(score)
        return Detection(score, p_value, p_value <= rate, distortions)

    def calibrate(
        self,
        x: FloatArray,
        *,
        seed: int = 0,
        conditions: Conditions | None = None,
        y: npt.ArrayLike | None = None,
    ) -> "Calibration":
        """Compute a calibration for `detect` from normal examples on which the model was not trained.

        The examples are divided at random: one fifth, at most 1000, are used to fit the score. Half of the rest are the
        calibration examples, and the other half measures the false-alarm rate. The graphs run on batches of 64
        examples. With int8, use batches of about this size in `detect`, too, because int8 results depend on the batch.

        Args:
            x: Normal examples, as for `detect`. At least 20 are needed.
            seed: Seed of the random division of the examples.
            conditions: Values of the conditions by name, for a conditional model.
            y: Shorthand for the condition "y".

        Returns:
            The calibration. Save it with `save`, and load it with `vaedge.load(calibration=...)`.

        Raises:
            InputError: There are too few examples, or the model returns NaN or infinity for an example that is used to
                fit the score.
        """
        from vaedge.detection.calibration import MIN_EXAMPLES, Calibration, divide

        seed = as_count(seed, "seed", 0)
        x = self._as_examples(x)
        if len(x) < MIN_EXAMPLES:
            raise InputError(
                f"a calibration needs at least {MIN_EXAMPLES} normal examples on which the model was not trained, got "
                f"{len(x)}; give more examples"
            )
        values = self._as_conditions(conditions, y, len(x))
        terms = self._terms(x, values, batch_size=_CALIBRATION_BATCH)
        first = divide(len(x), seed)[0]
        maps = np.empty((len(first), *self.input_shape), np.float32)
        self._terms(x[first], {name: array[first] for name, array in values.items()}, maps, _CALIBRATION_BATCH)
        return Calibration.fit(terms, maps, self._model_sha256, seed)

    def interpolate(
        self,
        a: FloatArray,
        b: FloatArray,
        steps: int = 8,
        *,
        conditions: Conditions | None = None,
        y: npt.ArrayLike | None = None,
    ) -> FloatArray:
        """Decode latents on the straight line between the posterior means of two examples.

        Args:
            a: The first example, shape input_shape, without a batch axis.
            b: The last example, shape input_shape, without a batch axis.
            steps: Number of latents on the line, including both ends; at least 2.
            conditions: Values of the conditions by name: one value for all steps, or one value per step.
            y: Shorthand for the condition "y".

        Returns:
            The means of p(x|z) along the line, float32, shape (steps, *input_shape).
        """
        steps = as_count(steps, "steps", 2)
        limits = self.manifest.input_range, self.manifest.encoding
        ends = [as_example(end, name, self.input_shape, *limits) for end, name in ((a, "a"), (b, "b"))]
        values = self._as_conditions(conditions, y, steps)
        both = {name: np.stack([array[0], array[-1]]) for name, array in values.items()}
        first, last = self._encode(np.concatenate(ends), both).mean
        weight = np.linspace(0, 1, steps, dtype=np.float32).reshape(-1, *(1,) * first.ndim)
        return self._decode((1 - weight) * first + weight * last, values)

    def close(self) -> None:
        """Release the sessions and their memory, as the end of a `with` block does. Later calls raise ClosedError."""
        self._sessions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        shapes = f"{self.input_shape} -> {self.latent_shape}"
        return f"<vaedge.VAE {self.manifest.name} {shapes} {self.variant} on {self.device}>"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the bundle's path and SHA-256. Unpickling reads the bundle, and verifies that it has not changed."""
        if self._origin is None:
            raise TypeError("this VAE was not read from a bundle, so it cannot be pickled; use vaedge.load")
        return _load_pickled, self._origin

    def _encode(self, x: FloatArray, conditions: _Arrays) -> Posterior:
        return Posterior(*run(self._sessions.encoder, {"x": x, **conditions}, ("mean", "log_var")))

    def _decode(
        self, z: FloatArray, conditions: _Arrays, out: FloatArray | None = None, draws: Draws | None = None
    ) -> FloatArray:
        """Return the means of p(x|z), or draws from p(x|z) if `draws` is given.

        The draws are computed for some rows at a time, because the parameters of p(x|z) for all rows need much memory.
        """
        decoder = self._sessions.decoder
        if draws is None:
            return run(decoder, {"z": z, **conditions}, ("x",), out)[0]
        result = as_output(out, (len(z), *self.input_shape))
        inputs = without_overlap({"z": z, **conditions}, out)
        size = rows_per_run(decoder)
        for start in range(0, len(z), size):
            rows = slice(start, start + size)
            parameters = run(decoder, {name: array[rows] for name, array in inputs.items()}, self.manifest.parameters)
            result[rows] = draws.next(parameters)
        return result

    def _parameters(self, z: FloatArray, conditions: _Arrays) -> list[FloatArray]:
        return run(self._sessions.decoder, {"z": z, **conditions}, self.manifest.parameters)

    def _terms(
        self, x: FloatArray, conditions: _Arrays, maps: FloatArray | None = None, batch_size: int | None = None
    ) -> "Terms":
        """Return the terms of the anomaly score. Write the distortion of each element of x to `maps`, if given."""
        from vaedge.detection.terms import compute_terms

        size = min(batch_size or len(x), rows_per_run(self._sessions.decoder))
        encode, decode = self._steps(x, conditions)
        return compute_terms(x, encode, decode, self.prior, self._likelihood(x), batch_size=size, maps=maps)

    def _steps(self, x: FloatArray, conditions: _Arrays) -> tuple[Encode, Decode]:
        """Return two functions: one encodes rows of x, and the other decodes latents that belong to rows of x."""

        def encode(rows: slice) -> Posterior:
            return self._encode(x[rows], {name: array[rows] for name, array in conditions.items()})

        def decode(z: FloatArray, rows: slice) -> Sequence[FloatArray]:
            draws = len(z) // (rows.stop - rows.start)
            return self._parameters(z, {name: np.repeat(array[rows], draws, 0) for name, array in conditions.items()})

        return encode, decode

    def _likelihood(self, x: FloatArray) -> Likelihood:
        """Return the likelihood p(x|z). Raise InputError if log p(x|z) cannot be computed for `x`."""
        limits = self.manifest.log_scale_range
        return require_scorable(self.manifest.likelihood, x, surrogate=True, log_scale_range=limits)

    def _draws(self, seed: int | None) -> Draws:
        return Draws(self.manifest.likelihood, seed, self.manifest.log_scale_range)

    def _as_examples(self, x: FloatArray) -> FloatArray:
        return as_batch(x, "x", self.input_shape, self.manifest.input_range, self.manifest.encoding)

    def _as_conditions(self, given: Conditions | None, y: npt.ArrayLike | None, n: int) -> _Arrays:
        return as_conditions(given, y, self.manifest.conditions, n)


def _read_prior(files: ModelFiles) -> Prior:
    manifest = files.manifest
    try:
        return read_prior(manifest.prior, files.prior, manifest.latent_shape)
    except BundleError as error:
        raise BundleError(f"{files.locate(str(manifest.prior_file))} is refused: {error}") from error.__cause__


def _read_calibration(files: ModelFiles) -> "Calibration | None":
    if files.calibration is None:
        return None
    from vaedge.detection.calibration import Calibration  # bundles without a calibration do not need this import

    try:
        return Calibration.from_npz(files.calibration.content, files.model_sha256)
    except BundleError as error:
        if files.calibration.location is None:
            raise
        raise BundleError(f"{files.calibration.location} is refused as a calibration: {error}") from error.__cause__


def _load_pickled(
    path: Path, variant: str, sha256: str, device: str, threads: int | None, calibration: CalibrationFile | None
) -> VAE:
    bundle = replace(read_bundle(path, variant, sha256), calibration=calibration)
    return VAE(bundle, device=device, threads=threads)
