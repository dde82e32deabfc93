"""Calibrate anomaly detection for each variant, and measure the false-alarm rates."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

import vaedge
from vaedge.bundle.manifest import Manifest
from vaedge.bundle.reference import Inputs
from vaedge.detection import Calibration
from vaedge.detection.calibration import divide
from vaedge_export.bundle_files import calibration_file
from vaedge_export.graphs import Graphs

_SEED = 0
_COMPARED_RATE = 0.01
_COMPARED_BATCH_SIZE = 64


class Open(Protocol):
    """A function that opens the graphs of a variant as a `vaedge.VAE`, with or without a calibration."""

    def __call__(self, variant: str, graphs: Graphs, calibration: Calibration | None = None) -> vaedge.VAE:
        """Open the graphs. If `calibration` is None, the opened VAE cannot detect anomalies."""


class Calibrated(NamedTuple):
    """The calibration of a variant.

    Attributes:
        calibration: The calibration.
        measured: The value of `measured["detection"]` in the manifest. It holds the sizes of the three parts of the
            normal examples, and the false-alarm rates on the third part, the evaluation examples. It also holds the
            share of evaluation examples for which the variant and fp32 decide differently.
    """

    calibration: Calibration
    measured: dict[str, Any]


def calibrate_variants(graphs: Mapping[str, Graphs], open_vae: Open, normal: Inputs) -> dict[str, Calibrated]:
    """Divide the normal examples into three parts, and calibrate each variant on the same parts.

    Args:
        graphs: Dict from the name of a variant to its graphs. The first key is "fp32".
        open_vae: Function that opens the graphs of a variant.
        normal: Normal examples that were not used for training.

    Raises:
        vaedge.InputError: A variant returns NaN or infinity for some of the examples.
    """
    found = {}
    fp32_decisions = None
    for name, pair in graphs.items():
        calibration = open_vae(name, pair).calibrate(normal.x, seed=_SEED, conditions=normal.conditions)
        measured = _measure(calibration, len(normal.x))
        if calibration.smallest_rate <= _COMPARED_RATE:
            decisions = _decisions(open_vae(name, pair, calibration), normal)
            if fp32_decisions is None:
                fp32_decisions = decisions
            else:
                share = float((decisions != fp32_decisions).mean())
                measured |= {"differs_from_fp32": share, "differs_at": _COMPARED_RATE}
        found[name] = Calibrated(calibration, measured)
    return found


def with_calibrations(manifest: Manifest, calibrated: Mapping[str, Calibrated]) -> Manifest:
    """Return the manifest with the file names of the calibrations, and with their measurements."""
    variants = {
        name: replace(
            manifest.variants[name],
            calibration=calibration_file(name),
            measured={**manifest.variants[name].measured, "detection": found.measured},
        )
        for name, found in calibrated.items()
    }
    return replace(manifest, variants=variants)


def _measure(calibration: Calibration, examples: int) -> dict[str, Any]:
    """Return the sizes of the three parts of the normal examples, and the measured false-alarm rates."""
    n, m = len(calibration.scores), len(calibration.evaluation)
    alarms = {
        f"{rate:.3g}": {"rate": share, "standard_error": error}
        for rate, (share, error) in calibration.measured_rates().items()
    }
    return {"fit": examples - n - m, "calibration": n, "evaluation": m, "seed": _SEED, "false_alarms": alarms}


def _decisions(vae: vaedge.VAE, normal: Inputs) -> npt.NDArray[np.bool_]:
    """Return an array that says for each evaluation example whether it is an anomaly.

    The batches are the same for each variant, because the result of int8 for an example depends on the other examples
    of its batch.

    Args:
        vae: A variant with its calibration.
        normal: All normal examples, of which the evaluation examples are a part.
    """
    evaluation = divide(len(normal.x), _SEED)[2]
    decisions = []
    for start in range(0, len(evaluation), _COMPARED_BATCH_SIZE):
        rows = evaluation[start : start + _COMPARED_BATCH_SIZE]
        conditions = {name: values[rows] for name, values in normal.conditions.items()}
        found = vae.detect(normal.x[rows], false_alarm_rate=_COMPARED_RATE, conditions=conditions)
        decisions.append(found.is_anomaly)
    return np.concatenate(decisions)
