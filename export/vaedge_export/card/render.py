"""Render the model card from the manifest with the template `card.md.jinja`."""

from collections.abc import Collection, Iterable

import jinja2

from vaedge import Condition, Manifest

_LIKELIHOODS = {
    "bernoulli": "Bernoulli, for binary values",
    "continuous_bernoulli": "continuous Bernoulli, for values in [0, 1]",
    "gaussian": "Gaussian, with a mean and a scale from the decoder",
    "discretized_logistic": "discretized logistic, for 8-bit values",
    "bce_surrogate": (
        "the cross-entropy of a Bernoulli on gray levels. It is not a normalized likelihood: compare metrics of this "
        "model only with metrics of the same cross-entropy"
    ),
}


def render_card(manifest: Manifest, images: Collection[str]) -> str:
    """Return the card as Markdown.

    Args:
        manifest: The complete manifest.
        images: Names of the image files next to the card.
    """
    measured = {name: variant.measured for name, variant in manifest.variants.items()}
    return _TEMPLATE.render(
        manifest=manifest,
        images=images,
        likelihood=_LIKELIHOODS.get(manifest.likelihood, manifest.likelihood),
        conditions={name: _zeros(condition) for name, condition in manifest.conditions.items()},
        measured={name: found for name, found in measured.items() if "microseconds" in found},
        detection={name: found["detection"] for name, found in measured.items() if "detection" in found},
        fixed_batch_files=_fixed_batch_files(manifest),
    )


def _zeros(condition: Condition) -> object:
    """Return zeros in the shape of one value of a condition, as nested lists."""
    value: object = 0
    for size in reversed(condition.shape):
        value = [value] * size
    return value


def _fixed_batch_files(manifest: Manifest) -> list[str]:
    """Return the file names of the graphs with a fixed batch size, which belong to no variant."""
    listed = {name for variant in manifest.variants.values() for name in (variant.encoder, variant.decoder)}
    return sorted(name for name in manifest.files if name.endswith(".onnx") and name not in listed)


def _shape(sizes: Iterable[object]) -> str:
    return " x ".join(map(str, sizes))


def _metric(value: object) -> str:
    """Return a metric as text for a cell of a table. A float is a value in nats per example."""
    return f"{value:.3f} nats per example" if isinstance(value, float) else str(value).replace("|", "\\|")


def _percent(share: str | float) -> str:
    """Return a share between 0 and 1 as a percentage. A share that is given as a text is not rounded."""
    return f"{100 * float(share):g} %" if isinstance(share, str) else f"{100 * share:.2f} %"


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vaedge_export", "card"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"shape": _shape, "metric": _metric, "percent": _percent, "integer": "{:,}".format}
    return environment.get_template("card.md.jinja")


_TEMPLATE = _template()
