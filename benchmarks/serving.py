"""Measure `vaedge serve` and other servers with `wrk`: `python benchmarks/serving.py` prints tables.

The request decodes one latent with models/mnist, in fp32 and with one thread. For comparison, an empty Starlette route
returns as many bytes as an image has, without a computation. The servers run one after another, on the same two CPUs as
`wrk`, in several rounds.

LitServe needs a separate environment:

    python -m venv build/litserve
    build/litserve/bin/pip install -c constraints.txt '.[cpu]' 'litserve>=0.2.19'
    python benchmarks/serving.py --litserve build/litserve/bin/python
"""

import argparse
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

import vaedge

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "mnist"
BASELINES = Path(__file__).with_name("serving_baselines.py")
EMPTY = "empty Starlette route"
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_START_SECONDS = 60
_WARM_UP = 32, 1  # connections and seconds of a warm-up before each row is measured


class Request(NamedTuple):
    """An HTTP request that is sent repeatedly. `read` returns the image in the body of a response, or None."""

    path: str
    body: bytes
    headers: dict[str, str]
    read: Callable[[bytes], np.ndarray | None]


class Rate(NamedTuple):
    """Requests per second (`rate`), and the median and 99th percentile (`tail`) of the latency in seconds."""

    rate: float
    median: float
    tail: float


def candidates(z: np.ndarray, litserve: str | None) -> list[tuple[list[str], dict[str, Request]]]:
    """Return the servers to compare, as pairs of a command and requests.

    Each command needs the port as an additional argument. The requests of a server are a dict from names to requests.
    The printed tables use these names.
    """
    tensor = {"name": "z", "shape": list(z.shape), "datatype": "FP32"}
    entry = {**tensor, "parameters": {"binary_data_size": z.nbytes}}
    head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    binary = {"Inference-Header-Content-Length": str(len(head))}
    text = {"Content-Type": "application/json"}
    tree = json.dumps({"inputs": [{**tensor, "data": z.ravel().tolist()}]}).encode()
    plain = json.dumps({"z": z.tolist()}).encode()
    infer = "/v2/models/mnist.decode/infer"
    size = 4 * 28 * 28
    ours = {
        "vaedge, binary": Request(
            infer, head + z.tobytes(), binary, lambda answer: np.frombuffer(answer[-size:], np.float32)
        ),
        "vaedge, JSON": Request(infer, tree, text, lambda answer: np.array(json.loads(answer)["outputs"][0]["data"])),
    }

    lists = Request("/decode", plain, text, lambda answer: np.array(json.loads(answer)["x"]))
    empty = Request("/decode", head + z.tobytes(), {}, lambda _: None)
    command = [sys.executable, "-c", "from vaedge.cli.main import main; main()"]
    found = [
        ([sys.executable, str(BASELINES), "empty", str(MODEL)], {EMPTY: empty}),
        ([*command, "serve", str(MODEL), "--threads", "1", "--port"], ours),
        ([sys.executable, str(BASELINES), "fastapi", str(MODEL)], {"FastAPI, JSON": lists}),
    ]
    if litserve is not None:
        found.append(
            ([litserve, str(BASELINES.with_name("serving_litserve.py")), str(MODEL)], {"LitServe, JSON": lists})
        )
    return found


@contextmanager
def serving(command: list[str], request: Request) -> Iterator[str]:
    """Start a server on a free port, wait until it answers the request, and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # A new session allows ending all processes. LitServe leaves processes behind if only its first one is terminated.
    process = subprocess.Popen([*command, str(port)], stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                ask(port, request)
                break
            except OSError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"this server ended or does not answer: {' '.join(command)}") from error
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ask(port: int, request: Request) -> bytes:
    """Send the request once, and return the body of the response. Raise OSError unless the HTTP status is 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_SECONDS)
    connection.request("POST", request.path, request.body, request.headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    if response.status != 200:
        raise OSError(f"the HTTP status is {response.status}, expected 200")
    return content


def require_image(name: str, url: str, request: Request, expected: np.ndarray) -> None:
    """End the program with an error if the server returns another image than `expected`."""
    found = request.read(ask(int(url.rpartition(":")[2]), request))
    if found is not None and not np.allclose(found.ravel(), expected.ravel(), atol=1e-5):
        raise SystemExit(f"{name} returns another image than `vae.decode` in this process")


def measure(url: str, request: Request, connections: int, seconds: int) -> Rate:
    """Send the request over several connections for some seconds with `wrk`, and return the rate and the latencies."""
    escaped = "".join(f"\\{byte:03d}" for byte in request.body)
    lines = ['wrk.method = "POST"', f'wrk.body = "{escaped}"']
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in request.headers.items()]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write("\n".join(lines))
        script.flush()
        words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name, url + request.path]
        text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit(text)
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0])
    shares = re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s)", text)
    latency = {share: float(value) * _SECONDS[unit] for share, value, unit in shares}
    return Rate(rate, latency["50"], latency["99"])


def time_call(vae: vaedge.VAE, z: np.ndarray, repeats: int = 2000) -> float:
    """Return the median time of `vae.decode` in this process, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        vae.decode(z)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    """Measure all servers in several rounds, and print the medians over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4, help="duration of each measurement in seconds (default: 4)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="number of measurements of each row of the tables (default: 3)"
    )
    parser.add_argument(
        "--connections", type=int, nargs="+", default=[1, 8, 32], help="numbers of connections (default: 1 8 32)"
    )
    parser.add_argument(
        "--litserve", metavar="PYTHON", help="Python interpreter of an environment with vaedge and LitServe"
    )
    args = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cpus)  # the servers and wrk inherit this setting
    vae = vaedge.load(MODEL, threads=1)
    z = np.random.default_rng(0).standard_normal((1, *vae.latent_shape)).astype(np.float32)
    expected = vae.decode(z)
    found: dict[tuple[int, str], list[Rate]] = defaultdict(list)
    calls = []
    for _ in range(args.rounds):
        calls.append(time_call(vae, z))
        for command, requests in candidates(z, args.litserve):
            with serving(command, next(iter(requests.values()))) as url:
                for name, request in requests.items():
                    require_image(name, url, request, expected)
                    measure(url, request, *_WARM_UP)
                    for connections in args.connections:
                        found[connections, name].append(measure(url, request, connections, args.seconds))
    print_tables({key: Rate(*np.median(rates, axis=0)) for key, rates in found.items()}, float(np.median(calls)), cpus)
    if args.litserve is None:
        print("\nLitServe is missing; `python benchmarks/serving.py --help` says how to add it.")


def print_tables(rates: dict[tuple[int, str], Rate], call: float, cpus: list[int]) -> None:
    """Print all rates. Also print how much time a request adds to an in-process call and an empty request."""
    print(f"in-process decode of one latent: {1e6 * call:.0f} us; CPUs {', '.join(map(str, cpus))}\n")
    print("| candidate | connections | requests/s | median | 99th percentile | requests/s / empty route |")
    print("|---|---|---|---|---|---|")
    for (connections, name), (rate, median, tail) in sorted(rates.items(), key=lambda entry: entry[0][0]):
        share = rate / rates[connections, EMPTY].rate
        print(f"| {name} | {connections} | {rate:,.0f} | {1e3 * median:.2f} ms | {1e3 * tail:.2f} ms | {share:.2f} |")
    if (1, EMPTY) not in rates:
        return
    print(
        "\n| candidate, 1 connection | time per request | time minus (in-process call + empty route) |\n|---|---|---|"
    )
    for (connections, name), (rate, _, _) in rates.items():
        if connections == 1 and name != EMPTY:
            above = 1 / rate - call - 1 / rates[1, EMPTY].rate
            print(f"| {name} | {1e6 / rate:.0f} us | {1e6 * above:.0f} us |")


if __name__ == "__main__":
    main()
