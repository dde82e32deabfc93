"""Many requests to a server process: mutated requests, and a million valid ones."""

import asyncio
import json
import math
import random
import re
import sys
from collections import Counter

import numpy as np
import pytest
from server_process import client_ports, descriptors, resident

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

X = ("x", [1, 1, 28, 28], "FP32")
MODELS = {
    "decode": ("z", [1, 40], "FP32"),
    "sample": ("n", [1], "INT64"),
    "encode": X,
    "log_prob": X,
    "reconstruct": X,
    "other": X,
}
VALUES = [None, True, -1, 0, 1, 41, 2**31, 2**63, 2**70, 1e39, "FP64", "BYTES", "", "x", [], {}, [1, 40], [-1, 40]]
RAW = [b"\r\n", b"\x00", b": ", b"chunked", b"transfer-encoding: chunked\r\n", b"9" * 30, b"%00", b"HTTP/9", b"\xff"]


async def no_clients(process):
    """Wait until a server has closed all connections."""
    async with asyncio.timeout(60):
        while client_ports(process.pid):
            await asyncio.sleep(0.01)


def mutate_tree(rng, tree):
    """Replace one random value of a JSON tree."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    if not keys:
        return
    key = rng.choice(keys)
    if isinstance(tree[key], dict | list) and rng.random() < 0.8:
        mutate_tree(rng, tree[key])
    else:
        tree[key] = rng.choice(VALUES)


def mutant(rng, client):
    """Return the bytes of a request, and whether the server must answer it and keep the connection open."""
    kind = rng.randrange(10)
    operation = rng.choice(list(MODELS))
    path = f"/v2/models/mnist.{operation}/infer"
    if kind < 4:  # values, shapes, datatypes
        name, shape, datatype = MODELS[operation]
        data = [rng.choice([0, 1]) for _ in range(math.prod(shape))]
        if rng.random() < 0.2:
            data[-1] = rng.choice([0.5, -1, 1e39, 1e400, float("nan"), None])
        entry = {"name": name, "shape": list(shape), "datatype": datatype, "data": data}
        tree = {"inputs": [entry], "parameters": {"seed": 0, "k": 2}, "id": "a"}
        if rng.random() < 0.8:
            mutate_tree(rng, tree)
        return client.message("POST", path, json.dumps(tree).encode()), True
    if kind == 4:  # deep JSON
        return client.message(
            "POST", path, rng.choice([b"[", b'{"a":', b'{"inputs":[']) * rng.choice([100, 100_000])
        ), True
    z = np.full((1, 40), rng.choice([0, 1, np.nan, np.inf, 6e4]), rng.choice([np.float32, np.float64, np.float16]))
    content = client.infer_message("mnist.decode", {"z": z}, {}, binary=True)
    if kind == 5:  # binary data with other values and datatypes
        return content, True
    if kind == 6:  # wrong lengths
        name = rng.choice([b"\r\ncontent-length: ", b"inference-header-content-length: "])
        head, end = content.split(name)
        length, rest = end.split(b"\r\n", 1)
        changed = rng.choice([b"0", b"-1", b"x", b"", b"9" * 40, b"%d" % (int(length) + rng.randint(-50, 50))])
        return head + name + changed + b"\r\n" + rest, False
    mutated = bytearray(content)
    size = rng.choice([content.index(b"\r\n\r\n"), len(content)])  # the headers, or the whole request
    for _ in range(rng.randint(1, 4)):
        position = rng.randrange(min(size, len(mutated)))
        if rng.random() < 0.5:
            mutated[position] = rng.randrange(256)
        elif rng.random() < 0.5:
            del mutated[position : position + rng.randint(1, 20)]
        else:
            mutated[position:position] = rng.choice(RAW)
    return bytes(mutated), False


def check(content, answer):
    assert answer.status in (200, 400, 404, 405, 408, 413, 415, 431), (content, answer)
    assert b"Traceback" not in answer.body
    if answer.status != 200:
        assert set(answer.json) == {"error"}, (content, answer)


@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_mutated_requests_are_answered_by_a_process(serving, bundle, client, count):
    statuses = Counter()

    def mutants(seed, *, keep):
        rng = random.Random(seed)
        return (content for content, keeps in (mutant(rng, client) for _ in range(count // 10)) if keeps == keep)

    async def read_all(reader, content):
        """Check all answers until the server closes the connection."""
        while (answer := await client.read_answer(reader)) is not None:
            check(content, answer)
            statuses[answer.status] += 1

    async def send_over_one_connection(address, seed):
        reader, writer = await asyncio.open_connection(*address)
        for content in mutants(seed, keep=True):
            writer.write(content)
            answer = await client.read_answer(reader)
            assert answer is not None, content
            check(content, answer)
            statuses[answer.status] += 1
        writer.close()

    async def send_over_separate_connections(address, seed):
        for content in mutants(seed, keep=False):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(content)
            reading = asyncio.create_task(read_all(reader, content))
            await asyncio.wait([reading], timeout=0.02)
            if not reading.done():  # the server waits for the rest of the request, or for the next request
                writer.write_eof()
            await reading
            writer.close()

    with serving(bundle.parent / "mnist") as (process, address):
        target = address.removeprefix("http://").split(":")

        async def main():
            senders = (send_over_one_connection, send_over_separate_connections)
            await asyncio.gather(*(send(target, seed) for send in senders for seed in range(10)))
            await no_clients(process)

        asyncio.run(main())
        memory = resident(process.pid)
        print(f"statuses: {dict(statuses)}, {memory:.1f} MiB")
        # A server without requests has about 90 MiB. The bodies of 100,000 mutated requests have more than 1 GB.
        assert memory < 300
        assert statuses.keys() >= {200, 400, 404}
        assert process.poll() is None
        process.terminate()
        assert process.wait(60) == 0
        assert "Traceback" not in process.stderr.read()


# In 900,000 requests, 4 MiB are less than 5 bytes per request. A leaked Python object has more than 15 bytes.
@pytest.mark.parametrize(
    ("warm_up", "count"), [(2_000, 6_000), pytest.param(100_000, 1_000_000, marks=pytest.mark.slow)]
)
def test_memory_and_descriptors_stay_constant(serving, bundle, client, mnist, warm_up, count):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (1, 1, 28, 28)).astype(np.float32)
    latents = [rng.standard_normal((1, 40)).astype(np.float32) for _ in range(14)]
    calls = [(client.infer_message("mnist.decode", {"z": z}), mnist.decode(z).tobytes()) for z in latents]
    calls += [
        (client.infer_message("mnist.encode", {"x": x}), mnist.encode(x).log_var.tobytes()),
        (
            client.infer_message("mnist.log_prob", {"x": x}, {"k": 1, "seed": 0}),
            mnist.log_prob(x, k=1, seed=0).tobytes(),
        ),
        (client.infer_message("mnist.reconstruct", {"x": x}, binary=False), b"]}]}"),
        (client.infer_message("mnist.sample", {"n": np.array([1])}, {"seed": 0}), mnist.sample(1, seed=0).tobytes()),
        (client.infer_message("mnist.decode", {"z": latents[0][:, :3]}), b"}"),
        (client.message("GET", "/v2/models/mnist.decode"), b"}"),
    ]

    async def send(address, content, end, number):
        """Send equal requests over one connection. All answers are equal except for the date."""
        reader, writer = await asyncio.open_connection(*address)
        writer.write(content)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(re.search(rb"\r\ncontent-length: (\d+)\r\n", head)[1]))
        assert body.endswith(end)
        for _ in range(number - 1):
            writer.write(content)
            answer = await reader.readexactly(len(head) + len(body))
            assert answer.startswith(head[:12])
            assert answer.endswith(body)
        writer.close()

    with serving(bundle.parent / "mnist", MALLOC_ARENA_MAX="1") as (process, address):
        target = address.removeprefix("http://").split(":")

        async def send_all(number):
            await asyncio.gather(*(send(target, *call, number // len(calls)) for call in calls))
            await no_clients(process)
            return resident(process.pid), len(descriptors(process.pid))

        memory, files = asyncio.run(send_all(warm_up))
        later_memory, later_files = asyncio.run(send_all(count - warm_up))
        print(f"{warm_up:,} requests: {memory:.1f} MiB, {files} descriptors")
        print(f"{count:,} requests: {later_memory:.1f} MiB, {later_files} descriptors")
        assert later_memory - memory < 4
        assert later_files == files
