"""The command `vaedge`.

The module of a subcommand is imported only when the subcommand runs. Most subcommands thus never import torch or onnx.

Each module in COMMANDS has the functions `add_arguments(parser)` and `run(args)`. `run` returns the exit status.
"""

import argparse
import importlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vaedge.errors import VaedgeError, install_hint

_EXIT_STATUS = (
    "Exit status: 0 success; 1 failure, with one line on stderr; 2 wrong arguments; 3 if `check` found a difference, "
    "`detect --fail-on-anomaly` found an anomaly, or `bench --fail-above` found a slow-down; 130 after Ctrl-C."
)
COMMANDS = {
    "train": ("vaedge_train.command", "train a VAE: data set -> run folder"),
    "evaluate": ("vaedge_train.evaluate_command", "evaluate a trained VAE (ELBO and IWAE bound, nats)"),
    "export": ("vaedge_export.command", "export a trained VAE: run folder -> bundle"),
    "info": ("vaedge.cli.info", "print the manifest of a bundle"),
    "check": ("vaedge.cli.check", "verify a bundle and test it on this device"),
    "sample": ("vaedge.cli.sample", "draw samples from the model"),
    "reconstruct": ("vaedge.cli.reconstruct", "encode examples, and decode the latents"),
    "encode": ("vaedge.cli.encode", "examples -> means and log-variances of q(z|x)"),
    "decode": ("vaedge.cli.decode", "latents -> means of p(x|z)"),
    "score": ("vaedge.cli.score", "examples -> bounds on log p(x), in nats"),
    "calibrate": ("vaedge.cli.calibrate", "calibrate the detection of anomalies: normal examples -> .npz"),
    "detect": ("vaedge.cli.detect", "examples -> anomalies, at a stated false-alarm rate"),
    "interpolate": ("vaedge.cli.interpolate", "interpolate between two examples in latent space"),
    "page": ("vaedge.cli.page", "write a bundle as one HTML page that runs it in a browser"),
    "bench": ("vaedge.cli.bench", "measure latency and throughput on this device"),
    "serve": ("vaedge.cli.serve", "serve bundles over HTTP (Open Inference Protocol)"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments after `vaedge`. None means the arguments of the process.

    Returns:
        The exit status. 0 means success. 1 means that the command failed; one line on stderr states the reason. 3
        means that `vaedge check` found a device that differs from the reference, that `vaedge detect --fail-on-anomaly`
        found an anomaly, or that `vaedge bench --fail-above` found a slow-down. 130 means Ctrl-C. If the
        arguments are wrong, the process exits with 2, and this function does not return.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        with _terminable(), _plain_warnings():
            return _run(argv)
    except KeyboardInterrupt as stop:
        print(f"vaedge: interrupted{f': {stop}' if str(stop) else ''}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError as error:
        return _fail(f"not enough memory: {error}" if str(error) else "not enough memory")


@contextmanager
def _terminable() -> Iterator[None]:
    """Exit on SIGTERM in the same way as on Ctrl-C, so that partial files are removed.

    The exit status is 128 + SIGTERM, as shells expect.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        # `before` is None if C code had set the previous handler. Python cannot restore such a handler.
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print each warning as one line, without the source file and the line number."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"warning: {' '.join(str(message).split())}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


def _run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vaedge",
        description="Train a VAE, export it as two ONNX graphs, and run it without torch.",
        epilog=_EXIT_STATUS,
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
    except (VaedgeError, OSError) as error:
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
    extra = {"train": "train", "evaluate": "train", "export": "export", "serve": "serve"}.get(command, "cli")
    return f"{command} needs the package {error.name or error}, which is not installed: {install_hint(extra)}"


def _fail(error: object) -> int:
    """Print an error as one line on stderr, and return the exit status 1."""
    message = str(error)
    if isinstance(error, OSError) and not isinstance(error, VaedgeError) and error.strerror:
        # str(error) would begin with "[Errno 28]".
        message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    print(f"vaedge: {' '.join(message.split())}", file=sys.stderr)
    return 1
