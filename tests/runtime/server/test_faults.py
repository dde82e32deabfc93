"""Test slow clients, clients that go away, killed workers, and SIGTERM, with real processes and sockets."""

import asyncio
import os
import re
import shutil
import signal
import socket
import sys
from contextlib import asynccontextmanager

import numpy as np
import pytest
from server_process import client_ports, descriptors, workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

Z = np.random.default_rng(0).standard_normal((1, 40)).astype(np.float32)
X = np.zeros((100, 1, 28, 28), np.float32)
SLOW = {"k": 200, "seed": 0}  # parameters with which log_prob runs for a noticeable time


def run(coroutine):
    """Run a coroutine, and fail if it does not end within 240 seconds."""
    return asyncio.run(asyncio.wait_for(coroutine, 240))


async def connect(address):
    return await asyncio.open_connection(*address.removeprefix("http://").split(":"))


async def until(condition):
    """Wait until a function, or a coroutine function, returns a true value."""
    async with asyncio.timeout(120):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.01)


async def request(client, address, content):
    """Send one request over a new connection, and return the answer."""
    reader, writer = await connect(address)
    writer.write(content)
    answer = await client.read_answer(reader)
    writer.close()
    return answer


async def in_progress(client, address):
    """Return the number of requests that the server has not answered completely."""
    answer = await request(client, address, client.message("GET", "/metrics"))
    return float(re.search(rb"^vaedge_requests_in_progress (\S+)$", answer.body, re.MULTILINE)[1])


@pytest.fixture(scope="module")
def decode(client):
    return client.infer_message("mnist.decode", {"z": Z})


@pytest.fixture(scope="module")
def slow(client):
    return client.infer_message("mnist.log_prob", {"x": X}, SLOW)


@pytest.fixture(scope="module")
def server(serving, bundle, client, decode, mnist):
    """Yield the address of a server, and a context manager.

    The context manager checks that the clients inside it leave no open connections and no unanswered requests.
    """
    with serving(bundle.parent / "mnist") as (process, address):

        @asynccontextmanager
        async def unchanged():
            assert (await request(client, address, decode)).status == 200
            await until(lambda: not client_ports(process.pid))
            before = descriptors(process.pid)
            yield

            async def idle():
                return await in_progress(client, address) == 0

            await until(idle)
            await until(lambda: not client_ports(process.pid))
            assert len(descriptors(process.pid)) == len(before)
            answer = await request(client, address, decode)
            assert answer.arrays()["x"].tobytes() == mnist.decode(Z).tobytes()

        yield address, unchanged
        assert process.poll() is None


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("state", ["headers", "body", "running"])
def test_clients_that_disconnect_leave_no_resources_in_use(server, client, decode, slow, state, end):
    address, unchanged = server
    content = {"headers": decode[:100], "body": decode[:-1], "running": slow}[state]

    async def main():
        async with unchanged():
            writers = [(await connect(address))[1] for _ in range(20)]
            for writer in writers:
                writer.write(content)
                await writer.drain()

            async def arrived():
                # Requests whose headers are incomplete are not in progress.
                return state == "headers" or await in_progress(client, address) == len(writers)

            await until(arrived)
            for writer in writers:
                if end == "close":
                    writer.close()
                else:
                    writer.transport.abort()

    run(main())


def test_half_closed_connections_leave_no_resources_in_use(server, client, decode):
    address, unchanged = server

    async def half_close():
        reader, writer = await connect(address)
        writer.write(decode)
        writer.write_eof()
        answer = await client.read_answer(reader)
        assert answer is None or answer.status == 200
        assert await reader.read() == b""
        writer.close()

    async def main():
        async with unchanged():
            await asyncio.gather(*(half_close() for _ in range(20)))

    run(main())


def test_clients_that_send_slowly_do_not_delay_other_clients(server, client, decode, mnist):
    address, unchanged = server
    middle = decode.index(b"\r\n\r\n")

    async def send(stop, sent, proceed):
        reader, writer = await connect(address)
        for position in range(0, len(decode), 8):
            if position > stop and not sent.is_set():
                sent.set()
                await proceed.wait()
            writer.write(decode[position : position + 8])
            await asyncio.sleep(0.001)
        answer = await client.read_answer(reader)
        writer.close()
        assert answer.arrays()["x"].tobytes() == mnist.decode(Z).tobytes()

    async def main():
        async with unchanged():
            proceed = asyncio.Event()
            # Half of the clients stop inside the headers, the others inside the body.
            started = [(middle + offset, asyncio.Event()) for offset in [-20, 20] * 10]
            tasks = [asyncio.create_task(send(*each, proceed)) for each in started]
            await asyncio.gather(*(sent.wait() for _, sent in started))
            for _ in range(20):
                assert (await request(client, address, decode)).status == 200
            proceed.set()
            await asyncio.gather(*tasks)

    run(main())


def test_clients_that_never_read_are_disconnected(serving, bundle, client, decode):
    large = client.infer_message("mnist.decode", {"z": np.repeat(Z, 4000, 0)})  # kernels buffer a part of the result
    setup = "import vaedge.cli.serve; vaedge.cli.serve._READ_MILLISECONDS = 500"

    async def main(process, address):
        assert (await request(client, address, decode)).status == 200
        connections = [socket.create_connection(address.removeprefix("http://").split(":"), 60) for _ in range(4)]
        for connection in connections:
            await asyncio.to_thread(connection.sendall, large)
        for connection in connections:
            await asyncio.to_thread(connection.recv, 1)
        await until(lambda: not client_ports(process.pid))
        assert await in_progress(client, address) == 0
        assert (await request(client, address, decode)).status == 200
        for connection in connections:
            connection.close()

    with serving(bundle.parent / "mnist", setup=setup) as (process, address):
        run(main(process, address))


def test_a_killed_worker_is_replaced_and_fails_only_its_connections(serving, bundle, client, decode, mnist):
    expected = mnist.decode(Z).tobytes()
    answered, failed, stop = set(), set(), asyncio.Event()

    async def load(address):
        """Send requests until the connection fails or `stop` is set."""
        reader, writer = await connect(address)
        port = writer.get_extra_info("sockname")[1]
        while not stop.is_set():
            writer.write(decode)
            try:
                answer = await client.read_answer(reader)
            except asyncio.IncompleteReadError:  # the connection failed inside a response
                answer = None
            if answer is None:
                failed.add(port)
                break
            assert (answer.status, answer.body[-len(expected) :]) == (200, expected)
            answered.add(port)
            await asyncio.sleep(0.002)
        writer.close()

    async def main(process, address):
        tasks = []

        async def both_workers_have_connections():
            tasks.extend(asyncio.create_task(load(address)) for _ in range(8))
            await until(lambda: len(answered) == len(tasks))
            found = workers(process.pid)
            return found if len(found) == 2 and all(client_ports(pid) for pid in found) else None

        victim, other = await until(both_workers_have_connections)
        lost = client_ports(victim)
        os.kill(victim, signal.SIGKILL)
        (replacement,) = await until(lambda: workers(process.pid) - {victim, other})
        idle = []

        async def replacement_has_connections():
            idle.append(await connect(address))
            await asyncio.sleep(0.1)
            return client_ports(replacement)

        await until(replacement_has_connections)
        for reader, writer in idle:
            writer.write(decode)
            answer = await client.read_answer(reader)
            assert answer.body[-len(expected) :] == expected
            writer.close()
        stop.set()
        await asyncio.gather(*tasks)
        assert failed == lost
        assert workers(process.pid) == {other, replacement}

    with serving(bundle.parent / "mnist", "--workers", "2") as (process, address):
        run(main(process, address))
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.parametrize("count", [1, 2])
def test_ctrl_c_ends_the_server_with_status_130(serving, bundle, client, decode, count):
    with serving(bundle.parent / "mnist", "--workers", count) as (process, address):
        run(request(client, address, decode))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == ""


def test_server_ends_when_a_new_worker_finds_another_bundle(serving, bundle, client, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "copy")

    async def main(process, address):
        connections = []

        async def both_workers_have_connections():
            connections.append(await connect(address))
            return len(workers(process.pid)) == 2 and all(client_ports(pid) for pid in workers(process.pid))

        await until(both_workers_have_connections)  # they have loaded the bundle
        with (copy / "manifest.json").open("a") as manifest:
            manifest.write(" ")
        os.kill(min(workers(process.pid)), signal.SIGKILL)

    with serving(copy, "--workers", "2") as (process, address):
        run(main(process, address))
        assert process.wait(60) == 1
        message = process.stderr.read()
        assert message.startswith(f"vaedge: {copy / 'manifest.json'} has the SHA-256 ")
        assert "Traceback" not in message


def test_workers_end_when_their_parent_is_killed(serving, bundle, client, decode):
    async def main(process, address):
        await until(lambda: len(workers(process.pid)) == 2)
        assert (await request(client, address, decode)).status == 200
        process.kill()

        async def port_is_closed():
            try:
                _, writer = await connect(address)
            except ConnectionRefusedError:
                return True
            writer.close()
            return False

        await until(port_is_closed)

    with serving(bundle.parent / "mnist", "--workers", "2") as (process, address):
        run(main(process, address))


@pytest.mark.parametrize("count", [1, 2])
def test_sigterm_ends_the_server_after_all_accepted_requests(serving, bundle, client, decode, slow, mnist, count):
    expected = {decode: mnist.decode(Z).tobytes(), slow: mnist.log_prob(X, **SLOW).tobytes()}

    def check(answer, content):
        assert (answer.status, answer.body[-len(expected[content]) :]) == (200, expected[content])

    async def load(address, answered):
        """Send requests until the server closes the connection, which it may do only after a complete answer."""
        reader, writer = await connect(address)
        while True:
            writer.write(decode)
            answer = await client.read_answer(reader)  # raises an error if a response is incomplete
            if answer is None:
                break
            check(answer, decode)
            answered.set()
        writer.close()

    async def main(process, address):
        events = [asyncio.Event() for _ in range(8)]
        tasks = [asyncio.create_task(load(address, answered)) for answered in events]
        await asyncio.gather(*(answered.wait() for answered in events))
        accepted = [await connect(address) for _ in range(4)]
        contents = [slow, slow, decode, decode]
        for (_, writer), content in zip(accepted, contents, strict=True):
            writer.write(content[:-1] if content is decode else content)

        async def all_accepted():
            # The clients of `load` can have requests in progress, too.
            return await in_progress(client, address) >= 4

        await until(all_accepted)
        process.send_signal(signal.SIGTERM)
        await asyncio.gather(*tasks)  # the port is closed, and so are the connections without accepted requests
        for (reader, writer), content in zip(accepted, contents, strict=True):
            if content is decode:
                writer.write(content[-1:])
            check(await client.read_answer(reader), content)
            assert await reader.read() == b""
            writer.close()

    with serving(bundle.parent / "mnist", "--workers", count) as (process, address):
        run(main(process, address))
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
