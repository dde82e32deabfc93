"""What `vaedge train` left in a run folder becomes a bundle."""

import os
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from vaedge import Condition
from vaedge.distributions.prior import Mixture
from vaedge_export.export import Provenance, export_vae
from vaedge_export.folder import require_absent
from vaedge_train import Run, load_run
from vaedge_train.model.priors import StandardNormal

_FIGURES = ("elbo", "distortion", "rate")


def export_run(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    variants: Sequence[str] = ("fp32",),
    allow_loss: float | None = None,
    fixed_batch: int | None = None,
    note: str | None = None,
    progress: bool = False,
) -> Path:
    """Export a run; `export_vae` says how.

    Args:
        run: the run folder.
        out: the bundle's folder, which must not exist yet.
        variants: precisions to write, measured on the run's test items; as for `export_vae`.
        allow_loss: what a variant may cost, nats per item; as for `export_vae`.
        fixed_batch: as for `export_vae`.
        note: a sentence or two for the model card, beside the figures.
        progress: print each stage.

    Raises:
        vaedge_train.RunError: it is no run that has finished an epoch.
        ExportError: as for `export_vae`.
    """
    require_absent(Path(out))
    trained = load_run(run)
    config = trained.config
    return export_vae(
        trained.vae.encoder,
        trained.vae.decoder,
        out,
        input_shape=trained.input_shape,
        latent_shape=(config.latent,),
        likelihood=config.likelihood,
        prior=_frozen_prior(trained),
        conditions={"y": Condition("int64", (), trained.classes)} if trained.classes else {},
        examples=trained.examples,
        variants=variants,
        allow_loss=allow_loss,
        fixed_batch=fixed_batch,
        provenance=Provenance(
            metrics={**_metrics(trained), **({"note": note} if note else {})},
            training={
                **_training(trained, Path(out).name),
                "export": export_command(Path(out).name, variants, allow_loss, fixed_batch, note),
            },
        ),
        progress=progress,
    )


def export_command(
    name: str, variants: Collection[str], allow_loss: float | None, fixed_batch: int | None, note: str | None
) -> str:
    """Return the command that exports the run `runs/NAME` with these options; `export_run` describes them."""
    words = ["vaedge", "export", f"runs/{name}", "--out", f"models/{name}"]
    smaller = [variant for variant in dict.fromkeys(variants) if variant != "fp32"]
    if smaller:
        words += ["--variants", ",".join(smaller)]
    if allow_loss is not None:
        words += ["--allow-loss", f"{allow_loss:g}"]
    if fixed_batch is not None:
        words += ["--fixed-batch", str(fixed_batch)]
    if note:
        words += ["--note", note]
    return shlex.join(words)


def _frozen_prior(run: Run) -> Mixture | None:
    """Return the mixture that training ended with, or None for N(0, I)."""
    vae = run.vae
    if isinstance(vae.prior, StandardNormal):
        return None
    log_weights, mean, log_var = (tensor.detach().numpy() for tensor in vae.prior.mixture(vae.inference))
    return Mixture.from_parameters(log_weights, mean, log_var)


def _metrics(run: Run) -> dict[str, float | str]:
    """Return the run's best-founded evaluation where there is one, else the figures of the epoch that was kept."""
    dataset = Path(run.config.dataset).name
    given = ", each given its label" if run.classes else ""
    if run.evaluations:
        figures = max(run.evaluations, key=lambda row: (row["items"], row["k"], -row["seed"]))
        how = (
            f"{figures['items']} test items of {dataset}{given}, p(x|z): {figures['likelihood']}, "
            f"{figures['binarized']}, k = {figures['k']} draws, seed {figures['seed']}"
        )
        names = ("bound", "bound_standard_error", "elbo", "elbo_standard_error", "distortion", "rate")
        alike = [row for row in run.evaluations if (row["items"], row["k"]) == (figures["items"], figures["k"])]
        others = {f"test_bound_with_seed_{row['seed']}": row["bound"] for row in alike if row is not figures}
        return {**{f"test_{name}": figures[name] for name in names}, **others, "measured_on": how}
    part = "validation" if "validation_elbo" in run.metrics else "test"
    how = (
        f"the {part} items of {dataset}{given}, p(x|z): {run.config.likelihood}, one draw of z per item, after epoch "
        f"{run.metrics['epoch']}"
    )
    figures = {f"{part}_{name}": run.metrics[f"{part}_{name}"] for name in _FIGURES}
    return {**figures, "train_elbo": run.metrics["train_elbo"], "measured_on": how}


def _training(run: Run, name: str) -> dict[str, str | int | float]:
    training = {"command": run.config.command(name), "epochs": run.metrics["epoch"], "seconds": run.metrics["seconds"]}
    if run.metrics["epoch"] < run.config.epochs:
        training["note"] = f"The weights are those of epoch {run.metrics['epoch']} of {run.config.epochs}."
    return training
