"""After SIGTERM, the server waits a limited time for running requests. Then it ends, even if a request still runs."""

import asyncio
import re
import signal

import numpy as np
import pytest

from vaedge.cli.serve_protocol import answer_canceled

X = np.zeros((100, 1, 28, 28), np.float32)
LONG = {"k": 10_000, "seed": 0}  # parameters with which log_prob runs for many seconds


async def connect(address):
    return await asyncio.open_connection(*address.removeprefix("http://").split(":"))


async def until_running(client, address):
    """Wait until a batch runs."""
    text = b""
    while not re.search(rb"^vaedge_batch_rows_count 1\.0$", text, re.MULTILINE):
        reader, writer = await connect(address)
        writer.write(client.message("GET", "/metrics"))
        text = (await client.read_answer(reader)).body
        writer.close()


async def until_closed(address):
    """Wait until the port is closed."""
    while True:
        try:
            _, writer = await connect(address)
        except ConnectionRefusedError:
            return
        writer.close()
        await asyncio.sleep(0.01)


async def end(client, process, address, signals):
    """Start a long request, send signals to the server, and return the response to the request."""
    async with asyncio.timeout(240):
        reader, writer = await connect(address)
        writer.write(client.infer_message("mnist.log_prob", {"x": X}, LONG))
        await until_running(client, address)
        for number in signals:
            process.send_signal(number)
            await until_closed(address)
        answer = await client.read_answer(reader)
        assert await reader.read() == b""
        writer.close()
        return answer


@pytest.mark.parametrize(
    ("signals", "grace", "count", "status"),
    [
        ([signal.SIGTERM], 0.2, 1, 0),
        ([signal.SIGTERM], 0.2, 2, 0),
        ([signal.SIGINT], 0.2, 1, 130),
        ([signal.SIGINT], 0.2, 2, 130),
        # The second Ctrl-C must arrive before the grace period ends. With workers, the port closes only afterward.
        ([signal.SIGINT, signal.SIGINT], 10, 1, 130),
    ],
)
def test_server_ends_while_a_request_runs(serving, bundle, client, signals, grace, count, status):
    setup = f"import vaedge.cli.serve; vaedge.cli.serve._GRACE = {grace}"
    with serving(bundle.parent / "mnist", "--workers", count, setup=setup) as (process, address):
        answer = asyncio.run(end(client, process, address, signals))
        assert (answer.status, answer.json) == (503, {"error": "the server is shutting down; try again later"})
        assert process.wait(60) == status
        # uvicorn may write one line. A second Ctrl-C prevents it if it arrives in time.
        lines = process.stderr.read().splitlines()
        assert all(re.fullmatch(r"ERROR: +Cancel 1 running task\(s\), .*", line) for line in lines), lines
        assert len(lines) <= 1


def test_incomplete_response_is_not_completed_with_an_error():
    sent = []

    async def app(scope, receive, send):
        await send("start")
        raise asyncio.CancelledError

    async def send(message):
        sent.append(message)

    asyncio.run(answer_canceled(app)({"type": "http"}, None, send))
    assert sent == ["start"]
