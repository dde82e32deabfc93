"""Anomaly detection: deterministic scores, and p-values from normal examples that were not used for training."""

from vaedge.detection.calibration import Calibration
from vaedge.detection.result import Detection

__all__ = ["Calibration", "Detection"]
