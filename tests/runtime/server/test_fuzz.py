"""Mutated requests are answered with JSON, and never with an internal error of the server."""

import asyncio
import json
import random

import numpy as np
import pytest

Z = np.zeros((1, 40), np.float32)
ENTRY = {"name": "z", "shape": [1, 40], "datatype": "FP32"}
HEAD = json.dumps(
    {
        "id": "a",
        "inputs": [{**ENTRY, "parameters": {"binary_data_size": 160}}],
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "x"}],
    }
).encode()
JSON = json.dumps({"inputs": [{**ENTRY, "data": [0.5] * 40}]}).encode()
WORDS = [b"null", b"-1", b"1e999", b"[]", b"{}", b'"FP64"', b'"BYTES"', b"true", b"9" * 25, b"[1,40]", b'"x"']
OPERATIONS = ["decode", "decode", "decode", "sample", "encode", "log_prob", "reconstruct"]


def mutant(rng):
    """Return a mutated body and the headers of a request."""
    body = bytearray(rng.choice([HEAD + Z.tobytes(), JSON]))
    for _ in range(rng.randint(1, 4)):
        position, kind = rng.randrange(len(body)), rng.randrange(4)
        if kind == 0:
            body[position] = rng.randrange(256)
        elif kind == 1:
            del body[position : position + rng.randint(1, 9)]
        elif kind == 2:
            body[position:position] = rng.choice(WORDS)
        else:
            start = body.find(rng.choice([b":", b",", b"["]), position) + 1
            body[start : start + rng.randint(0, 6)] = rng.choice(WORDS)
    size = rng.choice([len(HEAD), len(HEAD), len(body), len(HEAD) + 1, 0])
    return bytes(body), [(b"inference-header-content-length", b"%d" % size)] if rng.random() < 0.8 else []


@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_mutated_requests_are_answered(app, client, count):
    rng = random.Random(0)

    async def one():
        body, headers = mutant(rng)
        path = f"/v2/models/mnist.{rng.choice(OPERATIONS)}/infer"
        answer = await client.ask_async(app, "POST", path, body, headers)
        assert answer.status in (200, 400, 413), (body, answer)
        assert answer.status == 200 or set(answer.json) == {"error"}
        return answer.status

    async def main():
        return [status for _ in range(count // 20) for status in await asyncio.gather(*(one() for _ in range(20)))]

    assert set(asyncio.run(main())) >= {200, 400}
    assert app._memory._held == 0
