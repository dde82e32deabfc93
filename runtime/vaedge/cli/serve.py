"""The command `vaedge serve BUNDLE [BUNDLE ...]`."""

import argparse
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import tempfile
import threading
from functools import partial
from ipaddress import ip_address

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

import vaedge
from vaedge import InputError, VaedgeError
from vaedge.cli.arguments import add_load_arguments, positive
from vaedge.cli.serve_protocol import App, Protocol, answer_canceled
from vaedge.server import create_app
from vaedge.server.app import Application
from vaedge.server.metrics import FOLDER_VARIABLE

TOKEN_VARIABLE = "VAEDGE_TOKEN"
_GRACE = 30  # seconds in which accepted requests may finish after SIGTERM
_BACKLOG = 2048
_READ_MILLISECONDS = 30_000  # time after which a client that reads nothing of its response is disconnected


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge serve`."""
    parser.add_argument("models", metavar="BUNDLE", nargs="+", help="folders of the bundles; their names must differ")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=_port, default=8000, help="port to listen on; 0 chooses a free one (default: 8000)"
    )
    add_load_arguments(parser)
    parser.add_argument(
        "--max-batch",
        type=positive,
        default=128,
        metavar="ROWS",
        help="maximum number of rows in a batch of joined requests (default: 128)",
    )
    parser.add_argument("--workers", type=positive, default=1, help="number of server processes (default: 1)")
    parser.epilog = f"The environment variable {TOKEN_VARIABLE} sets the token that requests must send."


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C. The server finishes accepted requests before it ends."""
    token = os.environ.get(TOKEN_VARIABLE)
    vaes = [vaedge.load(path, device=args.device, variant=args.variant, threads=args.threads) for path in args.models]
    create = partial(create_app, vaes, max_batch=args.max_batch, token=token)
    app = create()  # raises errors before the port is opened
    with _listen(args.host, args.port) as listener:
        if sys.platform == "linux":
            # Accepted connections inherit the option. Without it, clients that never read would occupy memory.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _READ_MILLISECONDS)
        port = listener.getsockname()[1]
        if token is None and not _is_loopback(listener.getsockname()[0]):
            print(
                f"warning: everyone who can reach {args.host} can use this server; set the environment variable "
                f"{TOKEN_VARIABLE} to require a token",
                file=sys.stderr,
            )
        host = f"[{args.host}]" if ":" in args.host else args.host
        print(f"serving {', '.join(vae.manifest.name for vae in vaes)} on http://{host}:{port}", flush=True)
        if args.workers == 1:
            return _run_here(app, args, listener)
        with tempfile.TemporaryDirectory(prefix="vaedge-metrics-") as folder:
            os.environ[FOLDER_VARIABLE] = folder  # before the workers start
            factory = partial(_create_in_worker, pickle.dumps(create))
            supervisor = _Supervisor(_config(factory, args, factory=True), [listener])
            supervisor.run()
        return supervisor.status


def _run_here(app: Application, args: argparse.Namespace, listener: socket.socket) -> int:
    """Serve in this process, and return the exit status."""
    status = 0
    try:
        uvicorn.Server(_config(answer_canceled(app), args)).run([listener])
    except SystemExit:
        pass  # after the shutdown, uvicorn sends SIGTERM to this process again, and `main` raises SystemExit
    except KeyboardInterrupt:
        status = 130
    if app.is_running:
        # The time for accepted requests has passed, but a thread still runs the graphs. The process would abort if the
        # interpreter ended in the usual way.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


class _Supervisor(Multiprocess):
    """The supervisor of the workers.

    Attributes:
        status: The exit status of the command: 130 after Ctrl-C, 0 after SIGTERM, and 1 if a worker failed to start.
    """

    status = 1

    def handle_int(self) -> None:
        """End all workers after Ctrl-C."""
        super().handle_int()
        self.status = 130

    def handle_term(self) -> None:
        """End all workers after SIGTERM."""
        super().handle_term()
        self.status = 0


def _listen(host: str, port: int) -> socket.socket:
    """Open the port.

    Raises:
        InputError: The address does not exist, or the port is in use or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]  # socket adds the address in parentheses
        raise InputError(
            f"cannot listen on {host}, port {port}: {reason}; choose another address with --host, or another port with "
            "--port"
        ) from error


def _create_in_worker(create: bytes) -> App:
    """Unpickle the function that creates the application, and call it.

    The function holds VAEs. Unpickling loads their bundles again, and verifies that the bundles are unchanged.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        return answer_canceled(pickle.loads(create)())
    except VaedgeError as error:
        print(f"vaedge: {error}", file=sys.stderr)
        sys.exit(STARTUP_FAILURE)  # ends the supervisor, too; otherwise it would start workers without end


def _end_with_parent() -> None:
    """End this worker when its parent has ended. Otherwise, the worker of a killed parent would keep the port open."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _config(app: object, args: argparse.Namespace, *, factory: bool = False) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # a factory with factory=True
        factory=factory,
        workers=args.workers,
        http=Protocol,
        ws="none",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=_GRACE,
    )


def _is_loopback(host: str) -> bool:
    return ip_address(host).is_loopback


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)
