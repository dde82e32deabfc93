"""Choose the device of training and evaluation."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from vaedge.errors import DeviceError
from vaedge_train.errors import ConfigError


def choose_device(name: str = "auto") -> torch.device:
    """Return the torch device for a name, or raise an error if the device is not available.

    In a run of several processes, "auto" and "cuda" give each process its own GPU if there are enough GPUs.

    Args:
        name: "cpu", "cuda", "cuda:N", or "auto". "auto" means CUDA if it works, otherwise the CPU.

    Raises:
        DeviceError: The name is invalid, or the device does not work.
    """
    kind, separator, number = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (separator and (kind != "cuda" or not number.isdecimal())):
        raise DeviceError(f"device is {name!r}; expected 'auto', 'cpu', 'cuda', or 'cuda:N'")
    if kind == "cpu" or (kind == "auto" and _reason_against_cuda(0)):
        return torch.device("cpu")
    count = torch.cuda.device_count()
    index = int(number) if number else int(os.environ.get("LOCAL_RANK", "0")) % max(count, 1)
    if reason := _reason_against_cuda(index):
        raise DeviceError(f"device is {name!r}, but {reason}; use device 'cpu' or 'auto'")
    return torch.device("cuda", index)


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of commands that compute with torch: --device, --threads, and --cache-dir."""
    parser.add_argument(
        "--device",
        default="auto",
        help="cpu, cuda, cuda:N, or auto; auto means CUDA if it works, otherwise the CPU (default: auto)",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="number of CPU threads (default: chosen by torch)")
    parser.add_argument(
        "--cache-dir",
        type=Path,
        metavar="DIR",
        help="folder for decoded images, if the data set is an image folder (default: a folder named cache, beside the "
        "run)",
    )


@contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """Set the number of CPU threads of torch inside a `with` block; None keeps the current number.

    Raises:
        ConfigError: The number is below 1.
    """
    if threads is None:
        yield
        return
    if threads < 1:
        raise ConfigError(f"threads is {threads}; expected an integer of at least 1")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def deterministic_convolutions() -> Iterator[None]:
    """Make cuDNN use only algorithms that give the same bits in every run, while the `with` block runs.

    Without this setting, a resumed run of the conv network on a GPU would not end with exactly the same weights.
    """
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


def describe_device(device: torch.device) -> str:
    """Return a readable name of the device, such as "cuda:0 (NVIDIA H100)" or "cpu (2 threads)"."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    threads = torch.get_num_threads()
    return f"cpu ({threads} thread{'s' if threads > 1 else ''})"


def _reason_against_cuda(index: int) -> str | None:
    """Return the reason why the GPU with the given index does not work, or None if this GPU works."""
    if torch.version.cuda is None:
        return "this build of torch has no support for CUDA"
    count = torch.cuda.device_count()
    if index >= count:
        return f"torch finds {count} GPUs"
    try:
        torch.zeros(1, device=torch.device("cuda", index))
    except RuntimeError as error:
        return f"the GPU does not work: {str(error).splitlines()[0]}"
    return None
