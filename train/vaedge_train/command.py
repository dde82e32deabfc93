"""`vaedge train`: every field of TrainConfig is a flag."""

import argparse
import types
import typing
from dataclasses import Field, fields
from pathlib import Path

from vaedge_train.config import TrainConfig, flag
from vaedge_train.errors import TrainError
from vaedge_train.trainer import train

ERRORS = (TrainError,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every field of TrainConfig, and `--out`."""
    parser.add_argument("--out", type=Path, required=True, help="the run folder to make, for example runs/first")
    for item in fields(TrainConfig):
        default = "" if item.default is None else f" (default: {item.default})"
        parser.add_argument(
            flag(item.name), help=f"{item.metadata['help']}{default}", default=item.default, **_reader(item)
        )


def run(args: argparse.Namespace) -> int:
    """Train, and say where the run lies."""
    values = {item.name: getattr(args, item.name) for item in fields(TrainConfig)}
    config = TrainConfig.from_dict(values)
    train(config, args.out)
    print(f"{args.out}: trained; next: vaedge export {args.out} --out models/{args.out.name}")
    return 0


def _reader(item: "Field[object]") -> dict[str, typing.Any]:
    """Say how argparse reads a field of its type."""
    if isinstance(item.type, types.UnionType):  # tuple[int, ...] | None
        return {"type": int, "nargs": "+", "metavar": "N"}
    return {"type": item.type}
