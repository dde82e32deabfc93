"""Detect faults of sensors: train on normal readings, export with a calibration, and detect without PyTorch.

    python examples/detect_sensors.py train sensors     # needs the extras train and export
    python examples/detect_sensors.py detect sensors    # needs only numpy and ONNX Runtime

The readings of six sensors of a pump are simulated. They depend on two hidden states, and each sensor has a different
unit. The second command simulates new readings, adds faults to some of them, and prints the share of the faulty
readings that are detected, for each kind of fault.
"""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

import vaedge

SENSORS = ("pressure_pa", "flow_l_s", "current_a", "temperature_c", "vibration_mm_s", "speed_rpm")
CENTERS = np.array([240_000, 12.5, 8.2, 61, 0.35, 1480])
SCALES = np.array([9_000, 0.8, 0.6, 4, 0.04, 12])
# Change of the reading of each sensor by a fault, in multiples of SCALES.
FAULTS = {
    "leak": np.array([-3, -1.5, 0, 0, 0, 0]),
    "worn bearing": np.array([0, 0, 0, 2, 6, 0]),
    "flow and current that disagree": np.array([0, 2, -2, 0, 0, 0]),
}

Readings = npt.NDArray[np.float32]


def simulate(n: int, seed: int) -> Readings:
    """Return n normal readings, float32, shape (n, 6)."""
    rng = np.random.default_rng(seed)
    load, weather = rng.uniform(-1, 1, (2, n, 1))
    standardized = load * [1.2, 1.1, 1.3, 0.9, 0.8, -0.7] + weather**2 * [0, 0, 0.2, 1, 0, 0]
    noise = rng.normal(0, 0.3, (n, len(SENSORS)))
    return (CENTERS + SCALES * (standardized + noise)).astype(np.float32)


def train(folder: Path) -> None:
    """Train a model on normal readings, and export it as a bundle with a calibration for anomaly detection."""
    from vaedge_export import export_run
    from vaedge_train import TrainConfig, train

    folder.mkdir(parents=True)
    table = folder / "normal.csv"
    np.savetxt(table, simulate(12_000, seed=0), delimiter=",", header=",".join(SENSORS), comments="")
    # vaedge holds out one row in ten, and the calibration uses the held-out rows.
    config = TrainConfig(dataset=table, likelihood="gaussian", hidden=(64,), latent=2, epochs=30)
    train(config, folder / "run")
    export_run(folder / "run", folder / "bundle", calibration=True)


def detect(folder: Path) -> None:
    """Load the bundle. For normal readings and for each kind of fault, print the share that is called an anomaly."""
    vae = vaedge.load(folder / "bundle")
    normal = simulate(5_000, seed=1)
    found = vae.detect(normal, false_alarm_rate=0.01, maps=True)
    usual = found.maps.mean(0)  # nats
    print(f"normal readings: {found.is_anomaly.mean():.2%} detected as faults; the false-alarm rate was set to 1 %")
    for name, fault in FAULTS.items():
        found = vae.detect(normal[:500] + np.float32(fault * SCALES), false_alarm_rate=0.01, maps=True)
        suspect = SENSORS[int((found.maps.mean(0) - usual).argmax())]
        print(f"{name}: {found.is_anomaly.mean():.2%} found; the distortion of {suspect} grows most")


if __name__ == "__main__":
    {"train": train, "detect": detect}[sys.argv[1]](Path(sys.argv[2]))
