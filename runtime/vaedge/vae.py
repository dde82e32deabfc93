"""The VAE that an app embeds: sample, reconstruct, encode, decode, score, interpolate."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from vaedge.arrays import LATENT_RANGE, FloatArray, as_batch, as_condition, as_count, as_item
from vaedge.bundle.manifest import Manifest
from vaedge.bundle.reading import Bundle, read_bundle
from vaedge.engine.chunks import run
from vaedge.engine.graphs import Graphs
from vaedge.engine.merge import RECONSTRUCTION
from vaedge.errors import BundleError, InputError
from vaedge.likelihoods import LIKELIHOODS
from vaedge.posterior import Posterior
from vaedge.prior import Mixture, Prior, StandardNormal
from vaedge.score import bounds


class VAE:
    """A loaded bundle. Threads may share it, processes may inherit it, and a pickle of it loads the same bundle.

    The first call that needs the encoder opens its session; ONNX Runtime may then refuse its graph with BundleError,
    if the bundle was not made by the exporter.

    Nothing that a caller can see ever changes, but for `close`; the one mutable thing inside is which sessions are open
    (`vaedge.engine.graphs`). All randomness comes from the seeds of the calls.

    A conditional model takes its further inputs by name in every call (`vae.sample(10, y=range(10))`): one value
    per item, or one for all. `manifest.conditions` says which there are.

    Attributes:
        manifest: what the bundle says of itself.
        sha256: of the bundle's `manifest.json`: what `vaedge.load(sha256=...)` pins.
        variant: name of the precision that was loaded.
        device: where the graphs run: "cpu" or "cuda:N".
        threads: processor threads that each call may use.
        prior: p(z), as it was trained.
    """

    manifest: Manifest
    sha256: str
    variant: str
    device: str
    threads: int
    prior: Prior

    def __init__(self, bundle: Bundle, *, device: str = "cpu", threads: int | None = None) -> None:
        """Make the sessions; `vaedge.load` is the usual way here, and says what is raised."""
        self.manifest = bundle.manifest
        self.sha256 = bundle.sha256
        self.variant = bundle.variant
        self.prior = _prior(bundle)
        self._graphs = Graphs(bundle, device, threads)
        self.device, self.threads = self._graphs.device, self._graphs.threads
        self._origin = bundle.path.absolute(), bundle.variant, bundle.sha256, device, threads

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one item of `x`, without the batch axis."""
        return self.manifest.input_shape

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one `z`, without the batch axis."""
        return self.manifest.latent_shape

    def encode(self, x: FloatArray, **conditions: npt.ArrayLike) -> Posterior:
        """Return q(z|x) for each item; deterministic.

        Args:
            x: (n, *input_shape), floating, inside the manifest's input range.
            conditions: of a conditional model, by name.

        Returns:
            mean and log_var, each (n, *latent_shape) float32.

        Raises:
            InputError: wrong shape or type, empty, NaN, or out of range; a condition too many or too few.
            InferenceError: ONNX Runtime failed.
        """
        x = self._as_items(x)
        inputs = {"x": x, **self._told(conditions, len(x))}
        return Posterior(*run(self._graphs.encoder, inputs, ("mean", "log_var")))

    def decode(self, z: FloatArray, *, out: FloatArray | None = None, **conditions: npt.ArrayLike) -> FloatArray:
        """Return the mean of p(x|z) for each latent.

        Args:
            z: (n, *latent_shape), floating, at most a million in absolute value.
            conditions: of a conditional model, by name.
            out: float32 (n, *input_shape) array to write into and return.

        Returns:
            (n, *input_shape) float32.

        Raises:
            InputError: z, out or a condition cannot be used, or a condition is missing.
            InferenceError: ONNX Runtime failed.
        """
        z = as_batch(z, "z", self.latent_shape, LATENT_RANGE)
        inputs = {"z": z, **self._told(conditions, len(z))}
        return run(self._graphs.decoder, inputs, ("x",), out)[0]

    def parameters(self, z: FloatArray, **conditions: npt.ArrayLike) -> dict[str, FloatArray]:
        """Return the parameters of p(x|z) for each latent, by name (for a Bernoulli: "logits").

        Args:
            z: (n, *latent_shape), floating, at most a million in absolute value.
            conditions: of a conditional model, by name.

        Returns:
            One (n, *input_shape) float32 array per name in the manifest's `parameters`.

        Raises:
            InputError: wrong shape or type, empty, or not finite; a condition too many or too few.
            InferenceError: ONNX Runtime failed.
        """
        z = as_batch(z, "z", self.latent_shape, LATENT_RANGE)
        inputs = {"z": z, **self._told(conditions, len(z))}
        names = self.manifest.parameters
        return dict(zip(names, run(self._graphs.decoder, inputs, names), strict=True))

    def sample(
        self, n: int, *, seed: int | None = None, out: FloatArray | None = None, **conditions: npt.ArrayLike
    ) -> FloatArray:
        """Draw z from the prior and return the means of p(x|z).

        Args:
            n: how many, at least 1.
            seed: the same seed gives the same z on every device, whatever the threads; None draws afresh.
            out: float32 (n, *input_shape) array to write into and return.
            conditions: of a conditional model, by name.

        Returns:
            (n, *input_shape) float32.

        Raises:
            InputError: n < 1, or a seed or out that cannot be used; a condition too many or too few.
            InferenceError: ONNX Runtime failed.
        """
        n = as_count(n, "n")
        told = self._told(conditions, n)
        return run(self._graphs.decoder, {"z": self.prior.sample(n, seed), **told}, ("x",), out)[0]

    def reconstruct(
        self,
        x: FloatArray,
        *,
        sample: bool = False,
        seed: int | None = None,
        out: FloatArray | None = None,
        **conditions: npt.ArrayLike,
    ) -> FloatArray:
        """Encode and decode again: through the posterior's mean, or through a draw from it.

        Args:
            x: (n, *input_shape), floating, inside the manifest's input range.
            sample: draw z from q(z|x) instead of taking its mean.
            seed: for the draw, only with sample=True; None draws afresh.
            out: float32 (n, *input_shape) array to write into and return; it may overlap x.
            conditions: of a conditional model, by name; the encoder and the decoder are told the same.

        Returns:
            (n, *input_shape) float32.

        Raises:
            InputError: x, seed, out or a condition cannot be used, or a seed was given without sample=True.
            InferenceError: ONNX Runtime failed.
        """
        x = self._as_items(x)
        told = self._told(conditions, len(x))
        if sample:
            z = self.encode(x, **told).sample(seed)
            return run(self._graphs.decoder, {"z": z, **told}, ("x",), out)[0]
        if seed is not None:
            raise InputError("a seed was given, but reconstruct draws nothing unless sample=True")
        return run(self._graphs.reconstructor, {"x": x, **told}, (RECONSTRUCTION,), out)[0]

    def log_prob(
        self, x: FloatArray, *, k: int = 100, seed: int | None = None, **conditions: npt.ArrayLike
    ) -> npt.NDArray[np.float64]:
        """Return the importance-weighted bound on log p(x) of each item (Burda et al. 2016); the larger the likelier.

        Args:
            x: (n, *input_shape), floating, inside the manifest's input range; of 0 and 1 for a Bernoulli.
            k: draws of z per item; the bound is tighter the more there are, and the ELBO's estimate for one.
            seed: the same seed gives the same draws; None draws afresh.
            conditions: of a conditional model, by name; the bound is then one on log p(x | conditions).

        Returns:
            (n,) float64, nats.

        Raises:
            InputError: x, k, seed or a condition cannot be used, or p(x|z) is no distribution (bce_surrogate).
            InferenceError: ONNX Runtime failed.
        """
        k = as_count(k, "k")
        name = self.manifest.likelihood
        if name in LIKELIHOODS and not LIKELIHOODS[name].normalised:
            raise InputError(f"this model was trained with {name}, which is no distribution of x: it has no log p(x)")
        x = self._as_items(x)
        return bounds(self, x, k, seed, self._told(conditions, len(x))).importance_weighted

    def interpolate(self, a: FloatArray, b: FloatArray, steps: int = 8, **conditions: npt.ArrayLike) -> FloatArray:
        """Walk in a straight line between the posterior means of two items.

        Args:
            a: the first item, input_shape (no batch axis).
            b: the last item, input_shape.
            steps: how many items to return, both ends included; at least 2.
            conditions: of a conditional model, by name: one value for all steps, or one for each.

        Returns:
            (steps, *input_shape) float32: the means of p(x|z) along the line.

        Raises:
            InputError: an item cannot be used, or steps < 2; a condition too many or too few.
            InferenceError: ONNX Runtime failed.
        """
        steps = as_count(steps, "steps", 2)
        value_range = self.manifest.input_range
        ends = [as_item(item, name, self.input_shape, value_range) for item, name in ((a, "a"), (b, "b"))]
        told = self._told(conditions, steps)
        both = {name: np.stack([values[0], values[-1]]) for name, values in told.items()}
        first, last = self.encode(np.concatenate(ends), **both).mean
        weight = np.linspace(0, 1, steps, dtype=np.float32).reshape(-1, *(1,) * first.ndim)
        return self.decode((1 - weight) * first + weight * last, **told)

    def close(self) -> None:
        """Let go of the sessions and their memory; every further call raises ClosedError. `with` does it, too."""
        self._graphs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        shapes = f"{self.input_shape} -> {self.latent_shape}"
        return f"<vaedge.VAE {self.manifest.name} {shapes} {self.variant} on {self.device}>"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as the place to load from: the copy reads, verifies and opens the same bundle, or is refused."""
        return _load_again, self._origin

    def _as_items(self, x: FloatArray) -> FloatArray:
        return as_batch(x, "x", self.input_shape, self.manifest.input_range)

    def _told(self, given: Mapping[str, npt.ArrayLike], n: int) -> dict[str, npt.NDArray[Any]]:
        """Return the values of all conditions for a batch of n items."""
        conditions = self.manifest.conditions
        if not given and not conditions:
            return {}
        if given.keys() != conditions.keys():
            takes = ", ".join(conditions) or "none"
            raise InputError(
                f"beyond the call's own arguments {', '.join(given) or 'nothing'} was given; this model's conditions "
                f"are: {takes}"
            )
        return {name: as_condition(given[name], name, condition, n) for name, condition in conditions.items()}


def _prior(bundle: Bundle) -> Prior:
    latent = bundle.manifest.latent_shape
    if bundle.manifest.prior_file is None:
        return StandardNormal(latent)
    try:
        return Mixture.from_npz(bundle.prior or b"", latent)
    except BundleError as error:
        raise BundleError(f"{bundle.path / bundle.manifest.prior_file} is refused: {error}") from error.__cause__


def _load_again(path: Path, variant: str, sha256: str, device: str, threads: int | None) -> VAE:
    return VAE(read_bundle(path, variant, sha256), device=device, threads=threads)
