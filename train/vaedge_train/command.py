"""`vaedge train`: every field of TrainConfig is a flag."""

import argparse
import tomllib
import types
import typing
from dataclasses import Field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from vaedge_train.config import CHOICES, TrainConfig, flag
from vaedge_train.errors import ConfigError, TrainError
from vaedge_train.loop.trainer import train
from vaedge_train.run_folder import read_config

ERRORS = (TrainError,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every field of TrainConfig, and what is not a field."""
    parser.add_argument("--out", type=Path, help="the run folder to make, for example runs/first")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, which was stopped")
    parser.add_argument("--recipe", metavar="NAME", help="start from a recipe (default: article)")
    parser.add_argument("--list-recipes", action=_ListRecipes, nargs=0, help="say what each recipe is for, and exit")
    for item in fields(TrainConfig):
        default = "" if item.default is None else f" (default: {item.default})"
        # Only what was given is set, so that a recipe's value is not overwritten by a default.
        parser.add_argument(
            flag(item.name), help=f"{item.metadata['help']}{default}", default=argparse.SUPPRESS, **_reader(item)
        )


def run(args: argparse.Namespace) -> int:
    """Train, and say where the run lies."""
    if args.out is None:
        raise ConfigError("--out is missing: name the run folder to make, for example --out runs/first")
    if args.resume and args.recipe:
        raise ConfigError(f"--recipe {args.recipe}: a run that is resumed keeps the configuration that it began with")
    given = {item.name: getattr(args, item.name) for item in fields(TrainConfig) if hasattr(args, item.name)}
    base = read_config(args.out)[0].to_dict() if args.resume else read_recipe(args.recipe or "article")[1]
    try:
        train(TrainConfig.from_dict({**base, **given}), args.out, resume=args.resume)
    except KeyboardInterrupt as stop:
        print(f"{args.out}: {stop or 'interrupted'}; go on with: vaedge train --resume --out {args.out}")
        return 130
    print(f"{args.out}: trained; next: vaedge export {args.out} --out models/{args.out.name}")
    return 0


def recipes() -> list[str]:
    """Return the recipes' names."""
    return sorted(path.name.removesuffix(".toml") for path in (files("vaedge_train") / "recipes").iterdir())


def read_recipe(name: str) -> tuple[str, dict[str, Any]]:
    """Return what a recipe is for, and the fields that it sets.

    Raises:
        ConfigError: there is no such recipe.
    """
    if name not in recipes():
        raise ConfigError(f"no recipe {name!r}; there are {', '.join(recipes())}")
    tree = tomllib.loads((files("vaedge_train") / "recipes" / f"{name}.toml").read_text("utf-8"))
    return tree["purpose"], tree["config"]


class _ListRecipes(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        for name in recipes():
            print(f"{name:<10}{read_recipe(name)[0]}")
        parser.exit()


def _reader(item: "Field[object]") -> dict[str, Any]:
    """Say how argparse reads a field of its type."""
    if isinstance(item.type, types.UnionType):  # tuple[int, ...] | None
        return {"type": int, "nargs": "+", "metavar": "N"}
    if item.type is bool:
        return {"action": argparse.BooleanOptionalAction}
    if item.name in CHOICES:
        return {"choices": list(CHOICES[item.name])}
    return {"type": typing.cast("type", item.type)}
