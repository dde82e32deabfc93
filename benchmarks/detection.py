"""Compare anomaly detection with PyOD, and measure the false-alarm rates of calibrations.

    pip install pyod
    python benchmarks/detection.py --data-dir DIR

The script prints four reports:

1. Each digit of MNIST against the nine other digits: the area under the ROC curve (AUROC) on all test images. The
   methods are the score of vaedge, the squared error of its reconstructions, and PyOD's `VAE` and `IForest`. PyOD's
   methods keep their defaults, except that `VAE` uses batches of 128. All methods train on gray images of one digit.
2. Simple images against test digits, with models/mnist: the AUROC of the score, of the distortion alone, of the rate
   alone, and of the ELBO.
3. The false-alarm rates of 20 random divisions of normal examples, for the test digits and for a simulated table.
4. The time of `detect` divided by the time of `reconstruct`.
"""

import argparse
import runpy
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

import vaedge
from vaedge.benchmark.timing import median_microseconds, time_in_turn
from vaedge_export import export_run
from vaedge_train import TrainConfig, train
from vaedge_train.data.torchvision_data import import_torchvision

MODEL = Path(__file__).parents[1] / "models" / "mnist"
EXAMPLE = Path(__file__).parents[1] / "examples" / "detect_sensors.py"
RATES = (0.1, 0.01)
DIVISIONS = 20

Array = npt.NDArray[np.float32]
Digits = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


def read_mnist(data_dir: str) -> tuple[Digits, Digits]:
    """Return two pairs, for training and for test: uint8 images of shape (n, 28, 28), and their classes."""
    import_torchvision()
    from torchvision import datasets

    parts = (datasets.MNIST(data_dir, train=part, download=True) for part in (True, False))
    first, second = ((part.data.numpy(), part.targets.numpy()) for part in parts)
    return first, second


def auroc(normal: Array, anomalies: Array) -> float:
    """Return the AUROC: the probability that an anomaly has a larger score than a normal example."""
    largest = float(np.finfo(np.float32).max)
    scores = np.nan_to_num(np.concatenate([normal, anomalies]).astype(np.float64), posinf=largest)
    return float(roc_auc_score(np.arange(len(scores)) >= len(normal), scores))


def train_detector(images: npt.NDArray[np.uint8], folder: Path) -> vaedge.VAE:
    """Train a VAE on four fifths of the images, and calibrate its anomaly detection on the remaining fifth."""
    rows = np.random.default_rng(0).permutation(len(images))
    held_out = len(images) // 5
    np.savez(folder / "digit.npz", train=images[rows[held_out:]], test=images[rows[:held_out]])
    config = TrainConfig(
        dataset=folder / "digit.npz",
        likelihood="gaussian",
        gaussian_scale="0.02",
        hidden=(256,),
        activation="silu",
        latent=16,
        epochs=80,
        schedule="cosine",
    )
    train(config, folder / "run", progress=False)
    return vaedge.load(export_run(folder / "run", folder / "bundle", calibration=True))


def compare_digits(training: Digits, test: Digits, digits: list[int], baselines: bool) -> None:
    """Print the AUROC and the time of each method. In turn, each digit is normal and the nine others are anomalies."""
    images, classes = test
    x, flat = images[:, None], images.reshape(len(images), -1) / np.float32(255)
    table: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}

    def note(name: str, scores: Array, normal: npt.NDArray[np.bool_], began: float) -> None:
        table.setdefault(name, []).append(auroc(scores[normal], scores[~normal]))
        seconds[name] = seconds.get(name, 0) + time.perf_counter() - began

    for digit in digits:
        chosen, normal = training[0][training[1] == digit], classes == digit
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            vae = train_detector(chosen, Path(folder))
            note("vaedge, `detect`", vae.detect(x).score, normal, began)
            errors = np.square(vae.reconstruct(x)[:, 0] - images / np.float32(255)).sum((1, 2))
            note("vaedge, squared error", errors, normal, time.perf_counter())
        if baselines:
            from pyod.models.iforest import IForest
            from pyod.models.vae import VAE

            for name, model in (
                ("PyOD VAE", VAE(batch_size=128, verbose=0)),
                ("PyOD IForest", IForest(random_state=0)),
            ):
                began = time.perf_counter()
                model.fit(chosen.reshape(len(chosen), -1) / np.float32(255))
                note(name, model.decision_function(flat), normal, began)
        print(f"digit {digit}: " + ", ".join(f"{name} {found[-1]:.4f}" for name, found in table.items()), flush=True)
    print(f"\n| score | {' | '.join(map(str, digits))} | mean | s |\n|---|{'---|' * (len(digits) + 2)}")
    for name, found in table.items():
        cells = " | ".join(f"{value:.4f}" for value in [*found, statistics.mean(found)])
        print(f"| {name} | {cells} | {seconds[name]:.0f} |")


def binarize(images: Array) -> Array:
    """Draw each pixel from a Bernoulli distribution whose mean is the gray level of the pixel."""
    return (np.random.default_rng(0).random(images.shape) < images).astype(np.float32)


def compare_simple_images(digits: Array, means: Array) -> None:
    """Print how well models/mnist separates simple images from test digits, as an AUROC for each kind of image."""
    vae = vaedge.load(MODEL)
    calibration = vae.calibrate(digits[:5000])
    normal = digits[5000:]
    rng = np.random.default_rng(0)
    blank = np.zeros((1000, *vae.input_shape), np.float32)
    kinds = {
        "blank": blank,
        "noise, half of the pixels": (rng.random(blank.shape) < 0.5).astype(np.float32),
        "noise with the mean brightness of digits": (rng.random(blank.shape) < normal.mean()).astype(np.float32),
        "inverted digits": 1 - normal[:1000],
        "mean image of each digit, binarized at random": binarize(np.repeat(means, 100, 0)),
        "mean image of all digits, binarized at random": binarize(np.repeat(means.mean(0, keepdims=True), 1000, 0)),
        "mean image of all digits, above 0.5": np.repeat(
            (means.mean(0, keepdims=True) > 0.5).astype(np.float32), 1000, 0
        ),
    }

    def scores(x: Array) -> dict[str, Array]:
        terms = vae._terms(x, {})
        parts = {"distortion": terms.distortion, "rate": terms.rate, "-bound": -terms.bound}
        return {"score": calibration.score(terms), **parts}

    reference = scores(normal)
    print(f"\n| images | {' | '.join(reference)} |\n|---|{'---|' * len(reference)}")
    for kind, x in kinds.items():
        found = scores(x)
        print(f"| {kind} | {' | '.join(f'{auroc(reference[name], found[name]):.4f}' for name in found)} |")


def measure_false_alarms(name: str, vae: vaedge.VAE, normal: Array) -> None:
    """Calibrate with several random divisions of the normal examples, and print the measured false-alarm rates.

    Also print how often a Kolmogorov-Smirnov test finds a difference between calibration and evaluation scores.
    """
    found = [vae.calibrate(normal, seed=seed) for seed in range(DIVISIONS)]
    for rate in RATES:
        shares = [calibration.false_alarms(rate)[0] for calibration in found]
        error = found[0].false_alarms(rate)[1]
        print(
            f"{name}, variant {vae.variant}, rate {rate:.0%}: mean {statistics.mean(shares):.4f} over {DIVISIONS} "
            f"divisions, from {min(shares):.4f} to {max(shares):.4f}; standard error of one division {error:.4f}"
        )
    tests = [ks_2samp(calibration.scores, calibration.evaluation).pvalue for calibration in found]
    print(f"{name}: {sum(p < 0.01 for p in tests)} of {DIVISIONS} Kolmogorov-Smirnov tests reject at 1 %")


def compare_times(digits: Array) -> None:
    """Time `vae.detect` and `vae.reconstruct` in turn with one thread, and print the times."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calibration.npz"
        vaedge.load(MODEL).calibrate(digits[:5000]).save(path)
        vae = vaedge.load(MODEL, calibration=path, threads=1)
        for batch_size in (1, 64, 512):
            x = digits[:batch_size]
            calls: dict[str, Callable[[], object]] = {
                "reconstruct": partial(vae.reconstruct, x),
                "detect": partial(vae.detect, x),
            }
            times = {name: median_microseconds(rounds) for name, rounds in time_in_turn(calls, 2.0).items()}
            ratio = times["detect"] / times["reconstruct"]
            print(f"batch {batch_size}: detect {times['detect']:.0f} us, {ratio:.2f} times as long as reconstruct")


def simulate_table(folder: Path) -> tuple[vaedge.VAE, Array]:
    """Train on the readings of examples/detect_sensors.py. Return the VAE, and normal rows for its calibration."""
    example = runpy.run_path(str(EXAMPLE))
    example["train"](folder)
    return vaedge.load(folder / "bundle"), example["simulate"](10_000, seed=2)


def main() -> None:
    """Print the four reports that the docstring of this module describes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default="data", help="folder in which torchvision finds MNIST")
    parser.add_argument(
        "--digits",
        type=int,
        nargs="*",
        default=list(range(10)),
        help="classes of digits that the first report compares; each one is the normal class once",
    )
    parser.add_argument("--no-baselines", action="store_true", help="leave out PyOD")
    args = parser.parse_args()
    training, test = read_mnist(args.data_dir)
    gray = test[0][:, None] / np.float32(255)
    digits = binarize(gray)
    compare_digits(training, test, args.digits, not args.no_baselines)
    compare_simple_images(digits, np.stack([gray[test[1] == digit].mean(0) for digit in range(10)]))
    for variant in ("fp32", "int8"):
        measure_false_alarms("MNIST", vaedge.load(MODEL, variant=variant), digits)
    with tempfile.TemporaryDirectory() as folder:
        measure_false_alarms("simulated sensors", *simulate_table(Path(folder) / "sensors"))
    compare_times(digits)


if __name__ == "__main__":
    main()
