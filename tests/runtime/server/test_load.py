"""Many requests to a server process: mutated requests, and a million equal requests."""

import asyncio
import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

MIB = 2**20
OPERATIONS = ["decode", "sample", "encode", "log_prob", "reconstruct", "other"]
VALUES = [None, True, -1, 0, 1, 41, 2**31, 2**63, 2**70, 1e39, "FP64", "BYTES", "", "x", [], {}, [1, 40], [-1, 40]]
RAW = [b"\r\n", b"\x00", b": ", b"chunked", b"transfer-encoding: chunked\r\n", b"9" * 30, b"%00", b"HTTP/9", b"\xff"]


def resident(pid):
    """Return the resident memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) * 1024


def mutated_tree(rng, tree):
    """Replace one random value of a JSON tree."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    if not keys:
        return tree
    key = rng.choice(keys)
    if isinstance(tree[key], dict | list) and rng.random() < 0.8:
        mutated_tree(rng, tree[key])
    else:
        tree[key] = rng.choice(VALUES)
    return tree


def mutant(rng, client):
    """Return the bytes of a request, and whether it is certain that the server answers and keeps the connection."""
    kind = rng.randrange(10)
    path = f"/v2/models/mnist.{rng.choice(OPERATIONS)}/infer"
    if kind < 4:  # values, shapes, datatypes
        data = [rng.choice([0.5, 0.5, 1, 1e39, 1e400, float("nan"), None]) for _ in range(rng.choice([1, 2, 40, 784]))]
        entry = {"name": rng.choice("zxn"), "shape": [1, len(data)], "datatype": "FP32", "data": data}
        tree = {"inputs": [entry], "parameters": {"seed": 0}, "outputs": [{"name": "x"}], "id": "a"}
        return client.message("POST", path, json.dumps(mutated_tree(rng, tree)).encode()), True
    if kind == 4:  # deep JSON
        return client.message(
            "POST", path, rng.choice([b"[", b'{"a":', b'{"inputs":[']) * rng.choice([100, 100_000])
        ), True
    z = np.full((1, 40), rng.choice([0, 1, np.nan, np.inf, 1e30]), rng.choice([np.float32, np.float64, np.float16]))
    content = client.infer_message("mnist.decode", {"z": z}, {}, binary=True)
    if kind == 5:  # other values and datatypes, binary
        return content, True
    if kind == 6:  # wrong lengths
        name = rng.choice([b"\r\ncontent-length: ", b"inference-header-content-length: "])
        head, end = content.split(name)
        length, rest = end.split(b"\r\n", 1)
        changed = rng.choice([b"0", b"-1", b"x", b"", b"9" * 40, b"%d" % (int(length) + rng.randint(-50, 50))])
        return head + name + changed + b"\r\n" + rest, False
    mutated = bytearray(content)
    size = rng.choice([content.index(b"\r\n\r\n"), len(content)])  # the headers, or everything
    for _ in range(rng.randint(1, 4)):
        position = rng.randrange(size)
        if rng.random() < 0.5:
            mutated[position] = rng.randrange(256)
        elif rng.random() < 0.5:
            del mutated[position : position + rng.randint(1, 20)]
        else:
            mutated[position:position] = rng.choice(RAW)
    return bytes(mutated), False


def check(content, answer):
    assert answer.status in (200, 400, 404, 405, 408, 413, 431), (content, answer)
    assert b"Traceback" not in answer.body
    if answer.status != 200:
        assert set(answer.json) == {"error"}, (content, answer)


def test_mutated_requests_are_answered_by_a_process(serving, bundle, client):
    statuses = {}

    async def read(reader, content):
        answer = await client.read_answer(reader)
        if answer is not None:
            check(content, answer)
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
        return answer

    async def send_all(address, seed, count):
        rng = random.Random(seed)
        writer = None
        for _ in range(count):
            content, keeps = mutant(rng, client)
            if writer is None or not keeps:
                if writer is not None:
                    writer.close()
                reader, writer = await asyncio.open_connection(*address)
            writer.write(content)
            if keeps:
                assert await read(reader, content) is not None, content
                continue
            waiting = asyncio.create_task(read(reader, content))
            await asyncio.wait([waiting], timeout=0.2)
            if not waiting.done():  # the server waits for the rest of the request
                writer.write_eof()
            async with asyncio.timeout(60):
                while await waiting is not None:
                    if not writer.is_closing() and writer.can_write_eof():
                        writer.write_eof()
                    waiting = asyncio.create_task(read(reader, content))
            writer.close()
            writer = None

    with serving(bundle.parent / "mnist") as (process, address):
        target = address.removeprefix("http://").split(":")

        async def main():
            await asyncio.gather(*(send_all(target, seed, 6_250) for seed in range(16)))

        asyncio.run(main())
        assert statuses.keys() >= {200, 400, 404}, statuses
        assert process.poll() is None
        memory = resident(process.pid) / MIB
        print(f"statuses {statuses}, {memory:.1f} MiB")
        assert memory < 300
        process.terminate()
        assert process.wait(60) == 0
        assert "Traceback" not in process.stderr.read()


def test_memory_is_constant_during_a_million_requests(serving, bundle, client, mnist):
    rng = np.random.default_rng(0)
    latents = [rng.standard_normal((1, 40)).astype(np.float32) for _ in range(32)]
    calls = [(client.infer_message("mnist.decode", {"z": z}), mnist.decode(z).tobytes()) for z in latents]

    async def send(address, content, expected, count):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(content)
        answer = await reader.readuntil(b"\r\n\r\n")
        size = int(answer.lower().split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
        assert (await reader.readexactly(size)).endswith(expected)
        for _ in range(count - 1):
            writer.write(content)
            assert (await reader.readexactly(len(answer) + size)).endswith(expected)
        writer.close()

    with serving(bundle.parent / "mnist") as (process, address):
        target = address.removeprefix("http://").split(":")

        async def send_all(count):
            await asyncio.gather(*(send(target, *call, count // 32) for call in calls))

        asyncio.run(send_all(100_000))
        before = resident(process.pid) / MIB
        asyncio.run(send_all(900_000))
        after = resident(process.pid) / MIB
        print(f"{before:.1f} MiB after 100,000 requests, {after:.1f} MiB after 1,000,000 requests")
        assert after - before < 4
