"""The command `vaedge`. A subcommand's module, and with it its stage, is imported only when it runs.

Each module in the table has `add_arguments(parser)` and `run(args)`, which returns the exit status; it may
name further exceptions that are the user's to mend in `ERRORS`.
"""

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vaedge.errors import VaedgeError, install_hint

COMMANDS = {
    "train": ("vaedge_train.command", "train a VAE: data set -> run folder"),
    "evaluate": ("vaedge_train.evaluate_command", "say in nats how good a trained VAE is"),
    "export": ("vaedge_export.command", "export a trained VAE: run folder -> bundle"),
    "info": ("vaedge.cli.info", "say what a bundle is"),
    "check": ("vaedge.cli.check", "verify a bundle and test it on this machine"),
    "sample": ("vaedge.cli.sample", "draw new items"),
    "reconstruct": ("vaedge.cli.reconstruct", "encode items and decode them again"),
    "encode": ("vaedge.cli.encode", "items -> means and log-variances of q(z|x)"),
    "decode": ("vaedge.cli.decode", "latents -> items"),
    "score": ("vaedge.cli.score", "items -> bounds on log p(x), in nats"),
    "interpolate": ("vaedge.cli.interpolate", "walk from one item to another through the latents"),
    "bench": ("vaedge.cli.bench", "measure latency and throughput on this machine"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the words after `vaedge`; None takes the process's own.

    Returns:
        0 when the job was done, 1 after one line on stderr that says why not. A wrong call exits with 2.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        with _terminable():
            return _run(argv)
    except KeyboardInterrupt as stop:
        print(f"vaedge: interrupted{f': {stop}' if str(stop) else ''}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError as error:
        return _fail(f"not enough memory: {error}" if str(error) else "not enough memory")


@contextmanager
def _terminable() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C, which leaves nothing half-written, with the status that a shell expects."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None where C had set it


def _run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vaedge", description="Train a VAE, export it as two ONNX graphs, run it without torch."
    )
    parser.add_argument("--version", action=_Version)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    module = None
    for name, (module_name, summary) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        if argv and argv[0] == name:
            try:
                module = importlib.import_module(module_name)
            except ImportError as error:
                return _fail(_missing(name, error))
            module.add_arguments(subparser)
    args = parser.parse_args(argv)
    try:
        status: int = module.run(args)  # type: ignore[union-attr]  # argparse required a known command
    except BrokenPipeError:
        raise
    except (VaedgeError, OSError, *getattr(module, "ERRORS", ())) as error:
        return _fail(error)
    return status


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from vaedge import __version__

        print(__version__)
        parser.exit()


def _missing(command: str, error: ImportError) -> str:
    if isinstance(error, VaedgeError):
        return str(error)
    extra = {"train": "train", "evaluate": "train", "export": "export"}.get(command, "cli")
    return f"{command} needs the package {error.name or error}, which is not installed: {install_hint(extra)}"


def _fail(error: object) -> int:
    said = str(error)
    if isinstance(error, OSError) and not isinstance(error, VaedgeError) and error.strerror:
        said = (
            f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        )  # without Python's [Errno 28]
    print(f"vaedge: {' '.join(said.split())}", file=sys.stderr)
    return 1
