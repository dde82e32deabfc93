"""Reproduce figure 2 of Kingma and Welling, "Auto-Encoding Variational Bayes" (2014), for MNIST.

    pip install -c constraints.txt '.[cpu,cli,train,plot]'
    python examples/kingma_welling_figure2.py --data-dir data --epochs 50 --out runs/figure2

The script trains one model for each latent size, in the folders OUT/latent-N. It then writes OUT/figure2.png, which
shows the ELBO of training and test images against the number of training examples seen. After an interruption, run the
same command again: it resumes the interrupted run, and does not repeat finished runs.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from vaedge_train import TrainConfig, train

# Ranges in which the test curves of the paper (AEVB) end, in nats. The paper has no table. The ranges are estimates
# from memory, not measurements of the published image, and may be wrong by several nats.
PAPER = {3: (-138, -135), 5: (-125, -118), 10: (-110, -104), 20: (-102, -100), 200: (-101, -99)}
BATCH_SIZE = 100
EXAMPLES_RANGE = (5e4, 1e8)  # the paper shows 10^5 to 10^8 examples; the first epoch of MNIST ends at 6 * 10^4
ELBO_RANGE = (-165, -90)


def configuration(latent: int, epochs: int, dataset: str, data_dir: str) -> TrainConfig:
    """Return the training configuration of the paper for one latent size, but with Adam instead of Adagrad."""
    return TrainConfig(
        dataset=dataset,
        data_dir=data_dir,
        binarize="dynamic",
        likelihood="bernoulli",
        hidden=(500,),
        activation="tanh",
        latent=latent,
        samples=1,
        batch_size=BATCH_SIZE,
        epochs=epochs,
    )


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the metrics of a training run, one dict for each epoch."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


def draw(curves: dict[int, list[dict[str, Any]]], path: Path) -> None:
    """Draw the ELBO curves of training and test images, in one panel for each latent size.

    Args:
        curves: Dict from each latent size to the metrics of each epoch.
        path: The file to write, .png or .svg.
    """
    figure = Figure(figsize=(2.1 * len(curves) + 0.8, 3.8), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for panel, (latent, rows) in zip(panels, curves.items(), strict=True):
        seen = [row["step"] * BATCH_SIZE for row in rows]
        panel.plot(seen, [row["train_elbo"] for row in rows], "--", color="#d55e00", label="training images")
        panel.plot(seen, [row["test_elbo"] for row in rows], color="#0072b2", label="test images")
        if latent in PAPER:
            panel.axhspan(*PAPER[latent], color="0.85", label="end of the paper's test curve (estimate)")
        panel.set(title=f"latent size {latent}", xscale="log", xlim=EXAMPLES_RANGE, ylim=ELBO_RANGE)
        panel.grid(color="0.9")
    panels[0].set_ylabel("ELBO (nats per example)")
    figure.supxlabel("training examples seen", fontsize="medium")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Train the models, print their last ELBOs, and draw their curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="mnist", help="data set, as in vaedge train (default: mnist)")
    parser.add_argument("--data-dir", default="data", help="folder in which torchvision stores its data sets")
    parser.add_argument("--epochs", type=int, default=50, help="passes over the training images (default: 50)")
    parser.add_argument(
        "--latents", type=int, nargs="+", default=list(PAPER), help="latent sizes (default: those of the paper)"
    )
    parser.add_argument("--device", default="auto", help="device, as in vaedge train (default: auto)")
    parser.add_argument("--threads", type=int, help="number of CPU threads (default: chosen by torch)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs and the image")
    args = parser.parse_args()

    curves = {}
    for latent in args.latents:
        folder = args.out / f"latent-{latent}"
        config = configuration(latent, args.epochs, args.dataset, args.data_dir)
        train(config, folder, resume=folder.exists(), device=args.device, threads=args.threads)
        curves[latent] = read_metrics(folder)
    for latent, rows in curves.items():
        print(f"latent size {latent}: ELBO {rows[-1]['train_elbo']:.2f} (train), {rows[-1]['test_elbo']:.2f} (test)")
    draw(curves, args.out / "figure2.png")


if __name__ == "__main__":
    main()
