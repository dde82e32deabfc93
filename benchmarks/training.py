"""Compare the training speed of `vaedge_train` with the speed of a usual loop around a DataLoader.

`vaedge_train.train` and the loop train the same 784-400-20 model on gray-level MNIST, with batches of 128 and Adam at
1e-3. Both test the model after every epoch. The loop reads from a DataLoader with ToTensor. The time of
`vaedge_train.train` includes writing all files. Both run once in each round, and each reported ratio of times is the
median over the rounds.
"""

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vaedge_train import TrainConfig, train
from vaedge_train.data.torchvision_data import import_torchvision

_EPOCHS = 10


class TutorialVAE(nn.Module):
    """A VAE as in many tutorials: layers of 784, 400 and 20 units, two linear output layers, and a final sigmoid."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.encode, self.mean, self.log_var = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.decode, self.output = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x: Tensor) -> Tensor:
        """Return the loss in nats, summed over the examples of a batch."""
        x = x.view(-1, 784)
        hidden = F.relu(self.encode(x))
        mean, log_var = self.mean(hidden), self.log_var(hidden)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_var)
        pixels = torch.sigmoid(self.output(F.relu(self.decode(z))))
        rate = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
        return F.binary_cross_entropy(pixels, x, reduction="sum") + rate


def dataloader_loop(data_dir: str, epochs: int) -> float:
    """Train `TutorialVAE` in a loop around a DataLoader. Return the last test loss in nats per image."""
    import_torchvision()
    from torchvision import datasets, transforms

    torch.manual_seed(0)
    parts = [
        datasets.MNIST(data_dir, train=part, download=True, transform=transforms.ToTensor()) for part in (True, False)
    ]
    training, test = DataLoader(parts[0], 128, shuffle=True), DataLoader(parts[1], 128)
    model = TutorialVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss = 0.0
    for _ in range(epochs):
        for x, _ in training:
            optimizer.zero_grad()
            batch_loss = model(x)
            (batch_loss / len(x)).backward()
            optimizer.step()
        with torch.no_grad():
            loss = sum(model(x).item() for x, _ in test) / len(parts[1])
    return loss


def vaedge_run(data_dir: str, epochs: int, precision: str = "float32") -> float:
    """Train with `vaedge_train.train`. Return the last test loss in nats per image."""
    config = TrainConfig(dataset="mnist", data_dir=data_dir, hidden=(400,), epochs=epochs, precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, Path(folder) / "run", progress=False)
    return -float(run.metrics["test_elbo"])


def main(args: argparse.Namespace) -> list[str]:
    """Measure and return the lines of the report."""
    candidates = {
        "DataLoader + ToTensor": dataloader_loop,
        "vaedge_train": vaedge_run,
        "vaedge_train, bfloat16": partial(vaedge_run, precision="bfloat16"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    losses: dict[str, float] = {}
    rounds = min(args.rounds, 3)
    for round_number in range(1, rounds + 1):
        for name, candidate in candidates.items():
            start = time.perf_counter()
            losses[name] = candidate(args.data_dir, _EPOCHS)
            seconds[name].append(time.perf_counter() - start)
            print(f"round {round_number}: {name} {seconds[name][-1]:.1f} s, test loss {losses[name]:.2f}", flush=True)
    baseline, *others = seconds.values()
    ratios = [statistics.median(b / a for a, b in zip(baseline, other, strict=True)) for other in others]
    return [
        f"784-400-20 on gray-level MNIST, batch size 128, Adam 1e-3, {_EPOCHS} epochs with a test after each; medians of "
        f"{rounds} rounds; torch {torch.__version__}, {torch.get_num_threads()} threads.",
        "",
        "| | wall time, s | test loss, nats per image |",
        "|---|---|---|",
        *(f"| {name} | {statistics.median(seconds[name]):.1f} | {losses[name]:.2f} |" for name in candidates),
        "",
        f"Time of vaedge_train divided by the time of the DataLoader loop: {ratios[0]:.2f} in float32, "
        f"{ratios[1]:.2f} in bfloat16.",
    ]
