"""The command `vaedge train`. Each field of TrainConfig is a flag."""

import argparse
import tomllib
import types
import typing
from dataclasses import Field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from vaedge.distributions.likelihoods import LIKELIHOODS
from vaedge_train.config import TrainConfig, flag
from vaedge_train.errors import ConfigError
from vaedge_train.loop.device import add_device_arguments
from vaedge_train.loop.trainer import train
from vaedge_train.run_folder import read_config

_RECIPES = files("vaedge_train") / "recipes"
_UNSCORABLE = (
    "note: `vaedge score`, `log_prob`, and draws from p(x|z) will be unavailable with {}, which is not a "
    "normalized likelihood. To score examples, use another --likelihood: bernoulli (with --binarize dynamic), "
    "continuous_bernoulli (values in [0, 1]), discretized_logistic (8-bit images), or gaussian (any values)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge train`, with a flag for each field of TrainConfig."""
    parser.add_argument("--out", type=Path, help="run folder to create, for example runs/first")
    parser.add_argument("--resume", action="store_true", help="resume the interrupted run in the folder --out")
    add_device_arguments(parser)
    parser.add_argument("--recipe", metavar="NAME", help="recipe, a named set of default values (default: article)")
    parser.add_argument("--list-recipes", action=_ListRecipes, nargs=0, help="list the recipes and exit")
    for setting in fields(TrainConfig):
        default = "" if setting.default is None else f" (default: {setting.default})"
        # An omitted flag sets no attribute. Otherwise, the default of the flag would replace the value of the recipe.
        parser.add_argument(
            flag(setting.name),
            help=f"{setting.metadata['help']}{default}",
            default=argparse.SUPPRESS,
            **_parser_options(setting),
        )


def run(args: argparse.Namespace) -> int:
    """Train a model, and print the path of the run folder. Return the exit status: 0, or 130 after Ctrl-C."""
    if args.out is None:
        raise ConfigError("--out is missing; name the run folder to create, for example --out runs/first")
    if args.resume and args.recipe:
        raise ConfigError(
            f"--recipe {args.recipe} cannot be used with --resume, because a resumed run keeps its configuration; "
            "omit --recipe"
        )
    given = {
        setting.name: getattr(args, setting.name) for setting in fields(TrainConfig) if hasattr(args, setting.name)
    }
    base = read_config(args.out)[0].to_dict() if args.resume else read_recipe(args.recipe or "article")[1]
    config = TrainConfig.from_dict({**base, **given})
    if not LIKELIHOODS[config.likelihood].normalized:
        print(_UNSCORABLE.format(config.likelihood))
    try:
        train(
            config,
            args.out,
            resume=args.resume,
            device=args.device,
            threads=args.threads,
            cache_dir=args.cache_dir,
        )
    except KeyboardInterrupt as stop:
        print(f"{args.out}: {stop or 'interrupted'}; resume with: vaedge train --resume --out {args.out}")
        return 130
    print(f"{args.out}: trained; next: vaedge export {args.out} --out models/{args.out.name}")
    return 0


def recipes() -> list[str]:
    """Return the names of the recipes. A recipe is a named set of default values for `vaedge train`."""
    return sorted(path.name.removesuffix(".toml") for path in _RECIPES.iterdir())


def read_recipe(name: str) -> tuple[str, dict[str, Any]]:
    """Return the purpose of a recipe, and a dict from field names of TrainConfig to the values of the recipe.

    Raises:
        ConfigError: No recipe has this name.
    """
    if name not in recipes():
        raise ConfigError(f"recipe is {name!r}; expected one of {', '.join(recipes())}")
    tree = tomllib.loads((_RECIPES / f"{name}.toml").read_text("utf-8"))
    return tree["purpose"], tree["config"]


class _ListRecipes(argparse.Action):
    """The action of `--list-recipes`: print the name and the purpose of each recipe, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        for name in recipes():
            print(f"{name:<12}{read_recipe(name)[0]}")
        parser.exit()


def _parser_options(setting: "Field[Any]") -> dict[str, Any]:
    """Return the keyword arguments of `add_argument` for the flag of a field of TrainConfig."""
    if setting.type == str | None:
        return {"metavar": "TEXT"}
    if setting.type == int | None:
        return {"type": int, "metavar": "N"}
    if isinstance(setting.type, types.UnionType):  # tuple[int, ...] | None
        return {"type": int, "nargs": "+", "metavar": "N"}
    if setting.type is bool:
        return {"action": argparse.BooleanOptionalAction}
    return {"type": typing.cast("type", setting.type), "choices": setting.metadata["choices"]}
