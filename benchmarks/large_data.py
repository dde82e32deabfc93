"""Measure training on data larger than memory: the memory that training needs, and the speed of loading images.

`python benchmarks/large_data.py` writes the data to a temporary folder, and trains a small model on the data in a
separate process. The script prints the largest anonymous memory of the training process and its child processes
together (RssAnon, which does not count memory-mapped files). Then it compares the speed at which vaedge reads batches
with that of torchvision's `ImageFolder` and a DataLoader of two workers. The script needs Linux.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vaedge_train import TrainConfig
from vaedge_train.data.torchvision_data import import_torchvision
from vaedge_train.dataset import load_dataset
from vaedge_train.loop.batches import prepare_batches
from vaedge_train.loop.distributed import Workers

_SIDE = 64
_BATCH_SIZE = 128
_EPOCHS = 3


def write_array(path: Path, gigabytes: float) -> int:
    """Write a .npy file of random color images. Return the number of images."""
    rng = np.random.default_rng(0)
    block = rng.integers(0, 256, (4096, 3, _SIDE, _SIDE), np.uint8)
    blocks = max(1, round(gigabytes * 1e9 / block.nbytes))
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (blocks * len(block), *block.shape[1:])}
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(blocks):
            file.write(np.roll(block, int(rng.integers(1, 4096)), 0).data)
    return blocks * len(block)


def write_images(folder: Path, count: int) -> None:
    """Write color images as PNG files, in two subfolders."""
    rng = np.random.default_rng(0)
    for index in range(count):
        target = folder / str(index % 2)
        target.mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(small).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).save(target / f"{index:06}.png")


def anonymous_memory(process: int) -> int:
    """Return the anonymous memory of a process and its children, in bytes."""
    total = 0
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return total
    return total + sum(anonymous_memory(int(child)) for child in children)


def train_and_watch(dataset: Path, folder: Path, *options: str) -> tuple[int, float]:
    """Train for one epoch in a child process. Return the largest anonymous memory in bytes, and the time in seconds."""
    words = [sys.executable, "-m", "vaedge_train", "--dataset", str(dataset), "--out", str(folder / "run")]
    words += ["--epochs", "1", "--hidden", "64", "--batch-size", "256", *options]
    start, largest = time.perf_counter(), 0
    process = subprocess.Popen(words)
    while process.poll() is None:
        largest = max(largest, anonymous_memory(process.pid))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"training ended with the exit status {process.returncode}, expected 0; see the error above")
    return largest, time.perf_counter() - start


def vaedge_epochs(folder: Path, cache: Path) -> Iterator[Callable[[], int]]:
    """For each epoch, yield a function that reads all batches and returns the number of examples."""
    dataset = load_dataset(TrainConfig(dataset=folder), cache)

    def epoch(seed: int) -> int:
        order = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(seed)).int()
        batches = prepare_batches(dataset.train, order.split(_BATCH_SIZE), Workers(), torch.device("cpu"))
        return sum(len(batch.x.float().div_(255)) for batch in batches)

    for seed in range(_EPOCHS):
        yield lambda seed=seed: epoch(seed)


def image_folder_epochs(folder: Path) -> Iterator[Callable[[], int]]:
    """For each epoch, yield a function that reads all batches with `ImageFolder` and a DataLoader of two workers."""
    import_torchvision()
    from torchvision import datasets, transforms

    images = datasets.ImageFolder(str(folder), transforms.ToTensor())
    loader = torch.utils.data.DataLoader(images, _BATCH_SIZE, shuffle=True, num_workers=2, persistent_workers=True)
    for _ in range(_EPOCHS):
        yield lambda: sum(len(x) for x, _ in loader)


def speeds(epochs: Iterator[Callable[[], int]]) -> list[float]:
    """Return the number of examples per second that each epoch reads."""
    found = []
    for epoch in epochs:
        start = time.perf_counter()
        found.append(epoch() / (time.perf_counter() - start))
    return found


def main() -> None:
    """Measure, and print one line for each result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=12, help="size of the .npy file")
    parser.add_argument("--images", type=int, default=50_000, help="number of images for measuring the memory")
    parser.add_argument("--loaded", type=int, default=20_000, help="number of images for measuring the speed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if args.gigabytes:
            count = write_array(folder / "x.npy", args.gigabytes)
            memory, seconds = train_and_watch(folder / "x.npy", folder / "array")
            print(
                f".npy of {args.gigabytes:g} GB, {count:,} images: {memory / 1e9:.2f} GB of anonymous memory, "
                f"{seconds:.0f} s",
                flush=True,
            )
            (folder / "x.npy").unlink()
        if args.images:
            write_images(folder / "images", args.images)
            memory, seconds = train_and_watch(folder / "images", folder / "folder")
            print(f"{args.images:,} images: {memory / 1e9:.2f} GB of anonymous memory, {seconds:.0f} s", flush=True)
        if args.loaded:
            write_images(folder / "loaded", args.loaded)
            own, other = (
                speeds(vaedge_epochs(folder / "loaded", folder / "cache")),
                speeds(image_folder_epochs(folder / "loaded")),
            )
            for name, found in (("vaedge", own), ("ImageFolder, two workers", other)):
                print(f"{name}: " + ", ".join(f"{speed:,.0f}" for speed in found) + " examples/s per epoch")
            print(f"ratio in the last epoch: {own[-1] / other[-1]:.1f}", flush=True)


if __name__ == "__main__":
    main()
