"""The model card: README.md, rendered from the manifest and never typed."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from vaedge import Condition, Manifest

_LIKELIHOODS = {
    "bernoulli": "Bernoulli, of binary pixels",
    "continuous_bernoulli": "continuous Bernoulli, of values in [0, 1]",
    "gaussian": "Gaussian, whose mean and scale the decoder gives",
    "discretized_logistic": "discretised logistic, of 8-bit values",
    "bce_surrogate": (
        "the Bernoulli's cross-entropy on grey levels. It is not a normalised likelihood: its figures compare "
        "only with figures of the same kind"
    ),
}


def render(manifest: Manifest, pictures: Collection[str]) -> str:
    """Return the card's Markdown.

    Args:
        manifest: complete.
        pictures: names of the picture files that lie beside the card.
    """
    return "\n\n".join(section for section in _sections(manifest, pictures) if section) + "\n"


def _sections(manifest: Manifest, pictures: Collection[str]) -> Iterable[str]:
    yield f"# {manifest.name}"
    yield (
        f"A variational autoencoder as two ONNX graphs. It encodes items of shape {_shape(manifest.input_shape)} "
        f"into {_shape(manifest.latent_shape)} latents; prior: {manifest.prior.replace('_', ' ')}; p(x|z): "
        f"{_LIKELIHOODS.get(manifest.likelihood, manifest.likelihood)}."
    )
    if "samples.png" in pictures:
        yield "Samples from the prior (means of p(x|z)), seed 0:\n\n![samples](samples.png)"
    if "reconstructions.png" in pictures:
        yield (
            "Test items, each row above its reconstruction through the posterior mean:\n\n"
            "![reconstructions](reconstructions.png)"
        )
    if "traverse.png" in pictures:
        yield (
            "The most active latents, one in each row, walked from -3 to 3 while the others stay where the first test "
            "item has them:\n\n![latent traverse](traverse.png)"
        )
    load = f'vae = vaedge.load("models/{manifest.name}")'
    told = "".join(f", {name}={_example(condition)}" for name, condition in manifest.conditions.items())
    yield f"## Use\n\n```python\nimport vaedge\n\n{load}\nx = vae.sample(64, seed=0{told})\n```"
    yield "## Graphs\n\n" + _graph_table(manifest)
    yield _variants(manifest)
    yield _figures(manifest)
    yield _training(manifest)
    yield _verification(manifest)
    yield (
        "## Limits\n\nIt knows only what its training data showed it: items of another kind are reconstructed as "
        "whatever comes nearest. Samples are means of p(x|z), smoother than draws from it would be."
    )


def _graph_table(manifest: Manifest) -> str:
    latent, item = (("batch", *shape) for shape in (manifest.latent_shape, manifest.input_shape))
    value_range = manifest.input_range
    within = f", values in [{value_range[0]:g}, {value_range[1]:g}]" if value_range else ""
    told = [
        (name, ("batch", *condition.shape), f"condition, {condition.dtype}" + _classes(condition))
        for name, condition in manifest.conditions.items()
    ]
    tensors = [
        ("encoder", "in", "x", item, f"data{within}"),
        *(("encoder", "in", *row) for row in told),
        ("encoder", "out", "mean", latent, "mean of q(z\\|x)"),
        ("encoder", "out", "log_var", latent, "log sigma^2 of q(z\\|x)"),
        ("decoder", "in", "z", latent, "latent"),
        *(("decoder", "in", *row) for row in told),
        ("decoder", "out", "x", item, "mean of p(x\\|z), ready to show"),
        *(("decoder", "out", name, item, "parameter of p(x\\|z)") for name in manifest.parameters),
    ]
    lines = ["| graph | | tensor | shape | what |", "|---|---|---|---|---|"]
    lines += [f"| {graph} | {way} | `{name}` | {_shape(shape)} | {what} |" for graph, way, name, shape, what in tensors]
    lines += ["", "| variant | file | bytes | opset |", "|---|---|---|---|"]
    for name, variant in manifest.variants.items():
        for file in (variant.encoder, variant.decoder):
            lines.append(f"| {name} | `{file}` | {manifest.files[file].bytes:,} | {variant.opset} |")
    listed = {file for variant in manifest.variants.values() for file in (variant.encoder, variant.decoder)}
    for file in sorted(name for name in manifest.files if name.endswith(".onnx") and name not in listed):
        lines.append(f"| fp32, fixed batch | `{file}` | {manifest.files[file].bytes:,} | |")
    if manifest.prior_file:
        lines.append(f"| all | `{manifest.prior_file}` | {manifest.files[manifest.prior_file].bytes:,} | |")
    return "\n".join(lines)


def _variants(manifest: Manifest) -> str:
    measured = {name: variant.measured for name, variant in manifest.variants.items() if variant.measured}
    if not measured:
        return ""
    first = next(iter(measured.values()))
    batches = list(first["microseconds"])
    lines = [
        f"## Variants\n\nMeasured on {first['items']} examples (of a run: its test items) with the same noise, "
        f"k = {first['k']} draws each: "
        "the change of the ELBO and of the importance-weighted bound, nats per item; the reconstructions' PSNR against "
        f"fp32's, dB; the median time of `reconstruct`, microseconds, with {first['threads']} threads on "
        f"{first['processor']}{_kernels(first)}. int8 results of an example depend on the rest of its batch.\n",
        "| variant | bytes | ELBO | bound | PSNR | " + " | ".join(f"batch {batch}" for batch in batches) + " |",
        "|---" * (5 + len(batches)) + "|",
    ]
    for name, row in measured.items():
        change = f"{row['elbo_change']:+.3f} +- {row['elbo_change_standard_error']:.3f} | {row['bound_change']:+.3f}"
        psnr = f"{row['psnr']:.1f}" if row["psnr"] is not None else ""
        quality = f"{change} | {psnr}" if name != "fp32" else " | | "
        times = " | ".join(f"{row['microseconds'][batch]:.0f}" for batch in batches)
        lines.append(f"| {name} | {row['bytes']:,} | {quality} | {times} |")
    for name, row in measured.items():
        if row["kept"]:
            lines.append(f"\n{name} keeps these layers in float32, by measurement: {', '.join(row['kept'])}.")
    return "\n".join(lines)


def _kernels(measured: Mapping[str, Any]) -> str:
    """Return which 8-bit kernels ONNX Runtime used; bundles of format 1 do not say."""
    return f", with ONNX Runtime's {measured['int8_kernels']} 8-bit kernels" if "int8_kernels" in measured else ""


def _classes(condition: Condition) -> str:
    return f": 0 to {len(condition.classes) - 1}, {', '.join(condition.classes)}" if condition.classes else ""


def _example(condition: Condition) -> str:
    """Return a value of the condition as Python writes it, one for all items."""
    value: object = 0
    for size in reversed(condition.shape):
        value = [value] * size
    return str(value)


def _figures(manifest: Manifest) -> str:
    if not manifest.metrics:
        return ""
    lines = ["## Figures", "", "| figure | value |", "|---|---|"]
    for name, value in manifest.metrics.items():
        shown = f"{value:.3f} nats per item" if isinstance(value, float) else str(value).replace("|", "\\|")
        lines.append(f"| {name.replace('_', ' ')} | {shown} |")
    return "\n".join(lines)


def _training(manifest: Manifest) -> str:
    if "command" not in manifest.training:
        return ""
    commands = [str(manifest.training[name]) for name in ("command", "export") if name in manifest.training]
    seconds = manifest.training.get("seconds")
    took = f"\n\nTraining took {seconds / 60:.1f} minutes." if isinstance(seconds, int | float) else ""
    return f"## Training\n\n```sh\n{chr(10).join(commands)}\n```{took}" + (
        f"\n\n{manifest.training['note']}" if "note" in manifest.training else ""
    )


def _verification(manifest: Manifest) -> str:
    report = manifest.verification
    rows = "\n".join(
        f"| `{name}` | {row['absolute']:.1e} | {row['scaled']:.1e} | {row['magnitude']:.3g} |"
        for name, row in report["differences"].items()
    )
    batches = ", ".join(map(str, report["batches"]))
    return (
        f"## Verification\n\nGreatest difference between torch and ONNX Runtime, under full graph optimisation, at "
        f"batches {batches}, on {report['inputs']}. Allowed: {report['tolerance']:.0e} of the value, or of one where "
        f"the value is smaller. Denormal weights set to zero: {report['denormal_weights_set_to_zero']}.\n\n"
        f"| output | absolute | as allowed | greatest value |\n|---|---|---|---|\n{rows}\n\n"
        "`vaedge check` compares every variant on any device with the outputs that are stored in its reference."
    )


def _shape(shape: Iterable[object]) -> str:
    return " x ".join(map(str, shape))
