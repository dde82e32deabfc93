"""Requests that wait are joined, and no result shows it. Overload and absent clients cost little."""

import asyncio
import threading

import numpy as np
import pytest

from vaedge.server import create_app
from vaedge.server.limits import Limits

Z = np.random.default_rng(0).standard_normal((1, 40)).astype(np.float32)


@pytest.fixture
def blocked(mnist, monkeypatch):
    """Return a list of the sizes of batches of `decode`, and an event without which `decode` does not end."""
    sizes, proceed = [], threading.Event()
    decode = type(mnist).decode

    def waiting(self, z, **names):
        sizes.append(len(z))
        assert proceed.wait(60)
        return decode(self, z, **names)

    monkeypatch.setattr(type(mnist), "decode", waiting)
    yield sizes, proceed
    proceed.set()


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


def test_concurrent_requests_have_the_bits_of_lone_calls(app, client, mnist):
    rng = np.random.default_rng(1)
    calls = []
    for index in range(200):
        rows = int(rng.integers(1, 20))
        z = rng.standard_normal((rows, 40)).astype(np.float32)
        x = rng.integers(0, 2, (rows, 1, 28, 28)).astype(np.float32)
        calls += [
            [
                ("decode", {"z": z}, {}, lambda z=z: mnist.decode(z)),
                ("encode", {"x": x}, {}, lambda x=x: mnist.encode(x).mean),
                ("reconstruct", {"x": x}, {}, lambda x=x: mnist.reconstruct(x)),
                ("sample", {"n": np.array([rows])}, {"seed": index}, lambda n=rows, s=index: mnist.sample(n, seed=s)),
                ("log_prob", {"x": x}, {"seed": 1, "k": 2}, lambda x=x: mnist.log_prob(x, seed=1, k=2)),
            ][index % 5]
        ]

    async def all_at_once():
        return await asyncio.gather(
            *(client.infer_async(app, f"mnist.{name}", inputs, given) for name, inputs, given, _ in calls)
        )

    for (_, _, _, lone), answer in zip(calls, asyncio.run(all_at_once()), strict=True):
        np.testing.assert_array_equal(next(iter(answer.arrays().values())), lone())


def test_waiting_requests_are_joined_up_to_the_maximum(mnist, client, blocked):
    sizes, proceed = blocked
    app = create_app([mnist], max_batch=8)

    async def main():
        first = asyncio.create_task(client.infer_async(app, "mnist.decode", {"z": Z}))
        await until(lambda: sizes == [1])
        others = [asyncio.create_task(client.infer_async(app, "mnist.decode", {"z": Z})) for _ in range(5)]
        others += [asyncio.create_task(client.infer_async(app, "mnist.sample", {"n": np.array([2])}, {"seed": 1}))]
        others += [asyncio.create_task(client.infer_async(app, "mnist.decode", {"z": np.repeat(Z, 9, 0)}))]
        await asyncio.sleep(0)
        proceed.set()
        return await asyncio.gather(first, *others)

    answers = asyncio.run(main())
    assert sizes == [1, 7, 9]
    assert all(answer.status == 200 for answer in answers)
    np.testing.assert_array_equal(answers[6].arrays()["x"], mnist.sample(2, seed=1))


def test_an_invalid_request_does_not_affect_the_others_of_its_batch(app, client, mnist):
    async def main():
        inputs = [Z, Z * np.nan, Z[:, :3], Z]
        return await asyncio.gather(*(client.infer_async(app, "mnist.decode", {"z": z}) for z in inputs))

    answers = asyncio.run(main())
    assert [answer.status for answer in answers] == [200, 400, 400, 200]
    np.testing.assert_array_equal(answers[3].arrays()["x"], mnist.decode(Z))


def test_full_queue_answers_503(mnist, client, blocked):
    sizes, proceed = blocked
    app = create_app([mnist], limits=Limits(waiting=2))

    async def main():
        tasks = [asyncio.create_task(client.infer_async(app, "mnist.decode", {"z": Z}))]
        await until(lambda: sizes)
        tasks += [asyncio.create_task(client.infer_async(app, "mnist.decode", {"z": Z})) for _ in range(2)]
        await asyncio.sleep(0)
        refused = await client.infer_async(app, "mnist.decode", {"z": Z})
        proceed.set()
        return refused, await asyncio.gather(*tasks)

    refused, answers = asyncio.run(main())
    assert (refused.status, refused.headers[b"retry-after"]) == (503, b"1")
    assert refused.json["error"] == "2 requests wait; try again later"
    assert [answer.status for answer in answers] == [200, 200, 200]


def test_requests_of_absent_clients_do_not_run(mnist, client, blocked):
    sizes, proceed = blocked
    app = create_app([mnist])

    async def main():
        first = asyncio.create_task(client.infer_async(app, "mnist.decode", {"z": Z}))
        await until(lambda: sizes)
        gone = asyncio.Event()
        absent = asyncio.create_task(client.infer_async(app, "mnist.decode", {"z": np.repeat(Z, 5, 0)}, gone=gone))
        stopped = asyncio.create_task(client.infer_async(app, "mnist.decode", {"z": np.repeat(Z, 6, 0)}))
        await asyncio.sleep(0)
        gone.set()
        stopped.cancel()
        assert await absent is None  # while the thread is still busy
        proceed.set()
        await first
        await client.infer_async(app, "mnist.decode", {"z": Z})

    asyncio.run(main())
    assert sizes == [1, 1]
    assert app._memory._held == 0


def test_memory_is_bounded_and_released(mnist, client):
    app = create_app([mnist], limits=Limits(held_bytes=10_000))
    answer = client.infer(app, "mnist.decode", {"z": np.repeat(Z, 5, 0)})  # the result has 15,680 bytes
    assert answer.status == 503
    assert "bytes of other requests" in answer.json["error"]
    assert client.infer(app, "mnist.decode", {"z": Z}).status == 200
    assert client.infer(app, "mnist.decode", {"z": Z[:, :3]}).status == 400
    assert app._memory._held == 0


def test_failures_do_not_reveal_paths_or_end_the_thread(mnist, client, monkeypatch, caplog):
    app = create_app([mnist])

    def fail(self, z, **_):
        raise RuntimeError("cannot read /secret/path")

    with monkeypatch.context() as patch:
        patch.setattr(type(mnist), "decode", fail)
        answer = client.infer(app, "mnist.decode", {"z": Z})
    assert (answer.status, b"secret" in answer.body) == (500, False)
    assert "/secret/path" in caplog.text
    assert client.infer(app, "mnist.decode", {"z": Z}).status == 200
