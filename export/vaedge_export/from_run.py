"""Export a run folder of `vaedge train` as a bundle."""

import os
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from vaedge import Condition
from vaedge_export.export import Provenance, export_vae
from vaedge_export.folder import require_absent
from vaedge_train import Run, load_run
from vaedge_train.data.examples import scale
from vaedge_train.dataset import load_test_part

_EPOCH_METRICS = ("elbo", "distortion", "rate")
_EVALUATION_METRICS = ("bound", "bound_standard_error", "elbo", "elbo_standard_error", "distortion", "rate")


def export_run(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    variants: Sequence[str] = ("fp32",),
    allow_loss: float | None = None,
    fixed_batch: int | None = None,
    note: str | None = None,
    calibration: bool = False,
    data_dir: str | None = None,
    cache_dir: Path | None = None,
    progress: bool = False,
) -> Path:
    """Export a run with its metrics and its test examples.

    Args:
        run: The run folder.
        out: The bundle's folder, which must not exist.
        variants: As for `export_vae`. Variants are measured on the test examples of the run.
        allow_loss: As for `export_vae`; nats per example.
        fixed_batch: As for `export_vae`.
        note: One or two sentences that the model card shows with the metrics.
        calibration: Whether to calibrate anomaly detection. The data set of the run is read again. The calibration
            uses the test part, binarized as during the training. It does not use the validation part, because the best
            epoch was chosen on that part.
        data_dir: Folder of the data set. None means the folder from which training read the data set. Used only if
            `calibration` is True.
        cache_dir: Folder for decoded images, if the data set is a folder of images. None means the folder "cache"
            beside the run. Used only if `calibration` is True.
        progress: Whether to print each step.

    Returns:
        The bundle's folder.

    Raises:
        vaedge_train.RunError: The folder is not a run that has finished an epoch.
        vaedge_train.DataError: The data set of the run is missing or has changed.
        ExportError: As for `export_vae`.
    """
    require_absent(Path(out))
    trained = load_run(run)
    standardization = trained.vae.standardization
    name = Path(out).name
    return export_vae(
        trained.vae.encoder,
        trained.vae.decoder,
        out,
        input_shape=trained.input_shape,
        latent_shape=(trained.config.latent,),
        likelihood=trained.config.likelihood,
        prior=trained.vae.frozen_prior().to_runtime(),
        conditions={"y": Condition("int64", (), trained.classes)} if trained.classes else {},
        examples=trained.examples,
        labels=trained.labels,
        calibration=_test_part(trained, data_dir, cache_dir) if calibration else None,
        variants=variants,
        allow_loss=allow_loss,
        fixed_batch=fixed_batch,
        input_mean=None if standardization is None else standardization.mean.numpy(),
        input_std=None if standardization is None else standardization.std.numpy(),
        encoding=trained.encoding,
        features=trained.features,
        provenance=Provenance(
            metrics={**_metrics(trained), **({"note": note} if note else {})},
            training={
                **_training(trained, name),
                "export": export_command(name, variants, allow_loss, fixed_batch, note, calibration),
            },
        ),
        progress=progress,
    )


def export_command(
    name: str,
    variants: Collection[str],
    allow_loss: float | None,
    fixed_batch: int | None,
    note: str | None,
    calibration: bool,
) -> str:
    """Return the command that exports the run `runs/NAME`. `export_run` describes the options."""
    words = ["vaedge", "export", f"runs/{name}", "--out", f"models/{name}"]
    additional = [variant for variant in dict.fromkeys(variants) if variant != "fp32"]
    if additional:
        words += ["--variants", ",".join(additional)]
    if allow_loss is not None:
        words += ["--allow-loss", f"{allow_loss:g}"]
    if fixed_batch is not None:
        words += ["--fixed-batch", str(fixed_batch)]
    if note:
        words += ["--note", note]
    if calibration:
        words.append("--calibration")
    return shlex.join(words)


def _test_part(run: Run, data_dir: str | None, cache_dir: Path | None) -> dict[str, npt.NDArray[Any]]:
    """Return the test part of the run's data set as a dict of arrays, like `Run.examples`."""
    test = load_test_part(run, data_dir, cache_dir)
    return {"x": scale(test.x).numpy(), **({} if test.y is None else {"y": test.y.numpy()})}


def _metrics(run: Run) -> dict[str, float | str]:
    """Return the result of `vaedge evaluate` with the most examples and, among these, the most draws.

    If there is no result of `vaedge evaluate`, return the metrics of training.
    """
    given = f"{Path(run.config.dataset).name}{' with their labels as conditions' if run.classes else ''}"
    return _evaluation_metrics(run, given) if run.evaluations else _epoch_metrics(run, given)


def _evaluation_metrics(run: Run, dataset: str) -> dict[str, float | str]:
    best = max(run.evaluations, key=lambda row: (row["items"], row["k"], -row["seed"]))
    n, k = best["items"], best["k"]
    comparable = [row for row in run.evaluations if (row["items"], row["k"]) == (n, k)]
    return {
        **{f"test_{name}": best[name] for name in _EVALUATION_METRICS},
        **{f"test_bound_with_seed_{row['seed']}": row["bound"] for row in comparable if row is not best},
        "measured_on": (
            f"{n} test examples of {dataset}, p(x|z): {best['likelihood']}, {best['binarized']}, "
            f"k = {k} draws, seed {best['seed']}"
        ),
    }


def _epoch_metrics(run: Run, dataset: str) -> dict[str, float | str]:
    part = "validation" if "validation_elbo" in run.metrics else "test"
    return {
        **{f"{part}_{name}": run.metrics[f"{part}_{name}"] for name in _EPOCH_METRICS},
        "train_elbo": run.metrics["train_elbo"],
        "measured_on": (
            f"the {part} examples of {dataset}, p(x|z): {run.config.likelihood}, one draw of z per example, after "
            f"epoch {run.metrics['epoch']}"
        ),
    }


def _training(run: Run, name: str) -> dict[str, str | int | float]:
    training = {"command": run.config.command(name), "epochs": run.metrics["epoch"], "seconds": run.metrics["seconds"]}
    if run.metrics["epoch"] < run.config.epochs:
        training["note"] = f"The weights are those of epoch {run.metrics['epoch']} of {run.config.epochs}."
    return training
