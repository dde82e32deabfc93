"""Measure `vaedge serve` with `wrk`: `python benchmarks/serving.py` prints a table of requests a second.

The request is `decode` of one latent of models/mnist. The lower bound is a Starlette route that returns as many bytes.
Both run in uvicorn with the same settings, one process, and one thread for ONNX Runtime.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import vaedge

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "mnist"
_EMPTY = """
import socket, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

async def answer(request):
    await request.body()
    return Response(CONTENT, media_type="application/octet-stream")

CONTENT = bytes({size})
app = Starlette(routes=[Route("/empty", answer, methods=["POST"])])
with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
    print(f"serving http://127.0.0.1:{{listener.getsockname()[1]}}", flush=True)
    uvicorn.Server(uvicorn.Config(app, http="httptools", ws="none", access_log=False, proxy_headers=False,
                                  server_header=False, log_level="warning")).run([listener])
"""
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@contextmanager
def serving(argv: list[str]) -> Iterator[str]:
    """Start a server that prints its address, and yield the address."""
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield re.findall(r"http://\S+", process.stdout.readline())[0]
    finally:
        process.terminate()
        process.wait(30)


def write_script(path: Path, body: bytes, headers: dict[str, str]) -> None:
    """Write the Lua script that makes wrk send one request again and again."""
    escaped = "".join(f"\\{byte:03d}" for byte in body)
    lines = ['wrk.method = "POST"', f'wrk.body = "{escaped}"']
    path.write_text("\n".join(lines + [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]))


def measure(url: str, script: Path, connections: int, seconds: int) -> tuple[float, float, float]:
    """Return the requests a second, and the median and the 99th percentile of the latency in seconds."""
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit(text)
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0])
    found = {
        share: float(value) * _SECONDS[unit] for share, value, unit in re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s)", text)
    }
    return rate, found["50"], found["99"]


def requests(z: np.ndarray) -> dict[str, tuple[str, bytes, dict[str, str]]]:
    """Return a dict from the name of each candidate to its path, body, and headers."""
    tensor = {"name": "z", "shape": list(z.shape), "datatype": "FP32"}
    head = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": z.nbytes}}],
        "parameters": {"binary_data_output": True},
    }
    binary = json.dumps(head).encode()
    text = json.dumps({"inputs": [{**tensor, "data": z.ravel().tolist()}]}).encode()
    path = "/v2/models/mnist.decode/infer"
    return {
        "empty Starlette route": ("/empty", binary + z.tobytes(), {}),
        "vaedge, binary": (path, binary + z.tobytes(), {"Inference-Header-Content-Length": str(len(binary))}),
        "vaedge, JSON": (path, text, {"Content-Type": "application/json"}),
    }


def main() -> None:
    """Measure all candidates in turn, several times, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4, help="seconds per measurement (default: 4)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each row (default: 3)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    args = parser.parse_args()
    z = np.random.default_rng(0).standard_normal((1, 40)).astype(np.float32)
    vae = vaedge.load(MODEL, threads=1)
    size = vae.decode(z).nbytes
    times = []
    for _ in range(2000):
        start = time.perf_counter()
        vae.decode(z)
        times.append(time.perf_counter() - start)
    print(f"in-process decode of one latent: median {1e6 * np.median(times):.0f} us; {os.cpu_count()} CPUs")
    command = [sys.executable, "-c", "from vaedge.cli.main import main; main()", "serve", str(MODEL)]
    with (
        tempfile.TemporaryDirectory() as folder,
        serving([sys.executable, "-c", _EMPTY.format(size=size)]) as empty,
        serving([*command, "--port", "0", "--threads", "1"]) as served,
    ):
        print(
            "| candidate | connections | requests/s | median | 99 % | of the empty route |\n|---|---|---|---|---|---|"
        )
        candidates = requests(z)
        for connections in args.connections:
            found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in candidates}
            for _ in range(args.rounds):
                for name, (path, body, headers) in candidates.items():
                    script = Path(folder) / "request.lua"
                    write_script(script, body, headers)
                    base = empty if path == "/empty" else served
                    found[name].append(measure(base + path, script, connections, args.seconds))
            floor = np.median([rate for rate, _, _ in found["empty Starlette route"]])
            for name, rows in found.items():
                rate, median, tail = np.median(rows, axis=0)
                print(
                    f"| {name} | {connections} | {rate:,.0f} | {1e3 * median:.2f} ms | {1e3 * tail:.2f} ms | {rate / floor:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
