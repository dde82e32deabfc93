"""Clients that vanish, workers that are killed, and SIGTERM under load, with real processes and sockets."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

Z = np.random.default_rng(0).standard_normal((1, 40)).astype(np.float32)
X = np.zeros((100, 1, 28, 28), np.float32)
SLOW = {"k": 400, "seed": 0}  # parameters with which log_prob runs for a noticeable time


async def connect(address):
    return await asyncio.open_connection(*address.removeprefix("http://").split(":"))


async def until(condition, *args):
    """Wait until a coroutine function returns a true value, and return the value."""
    async with asyncio.timeout(60):
        while not (value := await condition(*args)):
            await asyncio.sleep(0.01)
    return value


async def in_progress(client, address):
    reader, writer = await connect(address)
    writer.write(client.message("GET", "/metrics"))
    answer = await client.read_answer(reader)
    writer.close()
    return float(re.search(rb"^vaedge_requests_in_progress (\S+)$", answer.body, re.MULTILINE)[1])


def descriptors(pid):
    """Return the open files of a process: a list of names such as `socket:[123]`."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(path.readlink()))
        except FileNotFoundError:  # closed in the meantime
            continue
    return found


def workers(pid):
    """Return the process ids of the workers of `vaedge serve`."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"spawn_main" in (path / "cmdline").read_bytes():
                found.add(int(path.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def accepted_ports(pid):
    """Return the ports of the clients whose connections a process holds."""
    inodes = {name[8:-1] for name in descriptors(pid) if name.startswith("socket:")}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].split(":")[1], 16) for row in rows if row[9] in inodes} - {0}


def test_absent_clients_leave_nothing_behind(serving, bundle, client, mnist):
    decode = client.infer_message("mnist.decode", {"z": Z})
    slow = client.infer_message("mnist.log_prob", {"x": X}, SLOW)

    async def half_closed(address):
        reader, writer = await connect(address)
        writer.write(decode)
        writer.write_eof()
        answer = await client.read_answer(reader)
        assert answer is None or (answer.status == 200 and await reader.read() == b"")
        writer.close()

    async def vanish(address, content, number):
        """Send bytes over several connections, and return functions that close or reset them."""
        writers = [(await connect(address))[1] for _ in range(number)]
        for writer in writers:
            writer.write(content)
            await writer.drain()
        return [writer.close if index % 2 else writer.transport.abort for index, writer in enumerate(writers)]

    async def main(process, address):
        reader, writer = await connect(address)
        writer.write(decode)
        assert (await client.read_answer(reader)).status == 200
        writer.close()
        await asyncio.sleep(0.5)
        before = len(descriptors(process.pid))

        ends = await vanish(address, decode[:-1], 20)
        ends += await vanish(address, decode[:100], 20)  # a part of the headers
        ends += await vanish(address, slow, 20)
        await asyncio.gather(*(half_closed(address) for _ in range(20)))

        async def all_arrived():
            # Requests whose headers are incomplete are not in progress.
            return await in_progress(client, address) == 40

        await until(all_arrived)
        for end in ends:
            end()

        async def all_ended():
            return not await in_progress(client, address)

        async def files_are_closed():
            return len(descriptors(process.pid)) <= before

        await until(all_ended)
        await until(files_are_closed)
        reader, writer = await connect(address)
        writer.write(decode)
        np.testing.assert_array_equal((await client.read_answer(reader)).arrays()["x"], mnist.decode(Z))
        writer.close()

    with serving(bundle.parent / "mnist") as (process, address):
        asyncio.run(main(process, address))


def test_killed_worker_fails_only_its_connections(serving, bundle, client, mnist):
    decode = client.infer_message("mnist.decode", {"z": Z})
    expected = mnist.decode(Z).tobytes()
    failed, stop = set(), asyncio.Event()

    async def load(reader, writer):
        """Send requests until the connection fails, or until the end."""
        port = writer.get_extra_info("sockname")[1]
        while not stop.is_set():
            writer.write(decode)
            try:
                answer = await client.read_answer(reader)
            except asyncio.IncompleteReadError:  # a part of a response
                answer = None
            if answer is None:
                failed.add(port)
                return
            assert (answer.status, answer.body[-len(expected) :]) == (200, expected)
        writer.close()

    async def main(process, address):
        tasks = []

        async def each_worker_has_connections():
            tasks.extend([asyncio.create_task(load(*await connect(address))) for _ in range(4)])
            await asyncio.sleep(0.05)
            found = workers(process.pid)
            return found if len(found) == 2 and all(accepted_ports(pid) for pid in found) else None

        victim, other = await until(each_worker_has_connections)
        lost, kept = accepted_ports(victim), accepted_ports(other)
        os.kill(victim, signal.SIGKILL)

        async def worker_is_replaced():
            return workers(process.pid) - {victim, other}

        (replacement,) = await until(worker_is_replaced)

        async def replacement_has_connections():
            tasks.append(asyncio.create_task(load(*await connect(address))))
            return accepted_ports(replacement)

        ports = await until(replacement_has_connections)
        await asyncio.sleep(0.2)
        stop.set()
        await asyncio.gather(*tasks)
        assert failed == lost
        assert not failed & (kept | ports)

    with serving(bundle.parent / "mnist", "--workers", "2") as (process, address):
        asyncio.run(main(process, address))


@pytest.mark.parametrize("count", [1, 2])
def test_sigterm_ends_the_server_after_all_accepted_requests(serving, bundle, client, mnist, count):
    slow = client.infer_message("mnist.log_prob", {"x": X}, SLOW)
    expected = mnist.log_prob(X, **SLOW)

    async def main(process, address):
        connections = [await connect(address) for _ in range(8)]
        for _, writer in connections:
            writer.write(slow)

        async def all_accepted():
            return await in_progress(client, address) == 8

        await until(all_accepted)
        process.send_signal(signal.SIGTERM)
        for reader, writer in connections:
            answer = await client.read_answer(reader)
            np.testing.assert_array_equal(answer.arrays()["log_prob"], expected)
            assert await reader.read() == b""
            writer.close()

    with serving(bundle.parent / "mnist", "--workers", count) as (process, address):
        asyncio.run(main(process, address))
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
