"""Test joined requests: which requests are joined, in which thread they run, their results, and overload."""

import asyncio
import re
import threading
import time

import numpy as np
import pytest

from vaedge.server import create_app
from vaedge.server.limits import Limits

Z = np.random.default_rng(0).standard_normal((1, 40)).astype(np.float32)
X = np.zeros((1, 1, 28, 28), np.float32)


@pytest.fixture
def blocked(mnist, monkeypatch):
    """Yield a list of the batch sizes of `decode`, and an event. `decode` waits until the event is set."""
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


def random_call(rng, vae):
    """Return an operation, its inputs, its parameters, and the outputs that this process computes without a server."""
    rows, seed = int(rng.choice([1, 1, 1, 2, 3, 7, 20])), int(rng.integers(2**40))
    z = rng.standard_normal((rows, 40)).astype(np.float32)
    x = rng.integers(0, 2, (rows, 1, 28, 28)).astype(np.float32)
    operation = rng.choice(["decode", "encode", "sample", "draw", "reconstruct", "log_prob", "detect"])
    if operation == "decode":
        return operation, {"z": z}, {}, {"x": vae.decode(z)}
    if operation == "encode":
        posterior = vae.encode(x)
        return operation, {"x": x}, {}, {"mean": posterior.mean, "log_var": posterior.log_var}
    if operation == "sample":
        return operation, {"n": np.array([rows])}, {"seed": seed}, {"x": vae.sample(rows, seed=seed)}
    if operation == "draw":
        draws = vae.sample(rows, seed=seed, draw=True)
        return "sample", {"n": np.array([rows])}, {"seed": seed, "draw": True}, {"x": draws}
    if operation == "reconstruct":
        return operation, {"x": x}, {}, {"reconstruction": vae.reconstruct(x)}
    if operation == "log_prob":
        return operation, {"x": x}, {"seed": seed, "k": 2}, {"log_prob": vae.log_prob(x, seed=seed, k=2)}
    found = vae.detect(x, false_alarm_rate=0.2)
    outputs = {name: getattr(found, name) for name in ("score", "p_value", "is_anomaly")}
    return operation, {"x": x}, {"false_alarm_rate": 0.2}, outputs


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_concurrent_requests_have_the_bits_of_separate_calls(client, calibrated, count):
    app = create_app([calibrated], limits=Limits(waiting=count, held_bytes=2**30))
    rng = np.random.default_rng(1)
    calls = [random_call(rng, calibrated) for _ in range(count)]

    async def all_at_once():
        return await asyncio.gather(
            *(client.infer_async(app, f"mnist.{name}", inputs, given) for name, inputs, given, _ in calls)
        )

    for (name, _, _, lone), answer in zip(calls, asyncio.run(all_at_once()), strict=True):
        assert answer.status == 200, answer
        found = answer.arrays()
        assert {key: (array.dtype, array.shape) for key, array in found.items()} == {
            key: (array.dtype, array.shape) for key, array in lone.items()
        }
        assert all(found[key].tobytes() == lone[key].tobytes() for key in lone), name
    text = client.ask(app, "GET", "/metrics").body.decode()
    # decode, encode, sample, and reconstruct are joined. The others, about three of seven calls, run alone.
    assert float(re.search(r"^vaedge_batch_rows_count (\S+)$", text, re.MULTILINE)[1]) < 0.7 * count


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


@pytest.fixture
def threads(mnist, monkeypatch):
    """A list of the threads in which operations ran. Each operation takes `threads.seconds` seconds of CPU time."""

    class Threads(list):
        seconds = 0

    threads = Threads()

    def recorded(name, result):
        def operation(self, first, *args, **names):
            end = time.thread_time() + threads.seconds
            while time.thread_time() < end:
                pass
            threads.append(threading.current_thread())
            return result(first)

        monkeypatch.setattr(type(mnist), name, operation)

    recorded("decode", lambda z: np.zeros((len(z), 1, 28, 28), np.float32))
    recorded("reconstruct", lambda x: x)
    recorded("log_prob", lambda x: np.zeros(len(x), np.float32))
    return threads


@pytest.mark.parametrize(
    ("seconds", "name", "inputs", "in_thread"),
    [
        (0, "decode", {"z": Z}, False),
        (0, "decode", {"z": np.repeat(Z, 4, 0)}, False),
        (0, "decode", {"z": np.repeat(Z, 500, 0)}, True),  # 80,000 bytes
        (0.0004, "decode", {"z": Z}, False),
        (0.0004, "decode", {"z": np.repeat(Z, 16, 0)}, True),  # expected to take 16 * 0.4 ms
        (0.005, "decode", {"z": Z}, True),
        (0, "reconstruct", {"x": X}, True),  # no earlier call from which to predict the time
        (0, "sample", {"n": np.array([1])}, True),
        (0, "log_prob", {"x": X}, True),
    ],
)
def test_only_batches_that_are_short_and_small_run_in_the_event_loop(
    mnist, client, threads, seconds, name, inputs, in_thread
):
    app = create_app([mnist])
    threads.seconds = seconds

    async def main():
        for _ in range(2):
            assert (await client.infer_async(app, "mnist.decode", {"z": Z})).status == 200
        assert (await client.infer_async(app, f"mnist.{name}", inputs)).status == 200

    asyncio.run(main())
    assert threads[0] is not threading.current_thread()  # the first batch, whose time is unknown
    assert (threads[2] is not threading.current_thread()) == in_thread


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
    assert refused.json["error"] == "the queue is full: 2 requests wait; try again later"
    assert [answer.status for answer in answers] == [200, 200, 200]


def test_server_recovers_after_a_thread_could_not_be_started(mnist, client, monkeypatch):
    app = create_app([mnist])

    def fail(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        refused = client.infer(app, "mnist.decode", {"z": Z})
    assert refused.status == 503
    assert refused.json["error"] == "the operating system refuses to start a thread; try again later"
    assert client.infer(app, "mnist.decode", {"z": Z}).status == 200


class Canceled(asyncio.Event):
    """An event whose `wait` blocks until the event is set, and then raises an error.

    With Ray Serve, the wait for a message of the client may end in this way.
    """

    async def wait(self):
        await super().wait()
        raise RuntimeError("the task was canceled")


@pytest.mark.parametrize("event", [asyncio.Event, Canceled])
def test_requests_of_absent_clients_do_not_run(mnist, client, blocked, event):
    sizes, proceed = blocked
    app = create_app([mnist])

    async def main():
        first = asyncio.create_task(client.infer_async(app, "mnist.decode", {"z": Z}))
        await until(lambda: sizes)
        gone = event()
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
    assert "of at most 10,000 bytes of requests and results" in answer.json["error"]
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
