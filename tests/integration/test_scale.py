"""Many connections in sequence, and many at once, after which memory is released (H9).

The size is a tenth by default; FAYE_TEST_SCALE=1 is the size of the requirement. `-s`
shows the figures.
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack
from operator import le
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.servers import SERVERS, Server, serve
from tests.support.waiting import wait_until
from tests.support.wire import TEXT, Frame, RawClient, http_get

FULL = os.environ.get('FAYE_TEST_SCALE') == '1'
CYCLES = 10_000 if FULL else 1_000
AT_ONCE = 5_000 if FULL else 500

#: Descriptors in addition to those of the sockets.
SPARE = 100

#: The bytes and the blocks of Python's memory that may remain at any scale. A leaked
#: socket would be about ten blocks.
SLACK = 4 * 2**20
SLACK_BLOCKS = 1000

#: Greenlets that are kept for the next handler.
FEW = 20

CLOSE_WAIT = '08'


class Census(NamedTuple):
    """The numbers of objects that a server's process holds."""

    descriptors: int
    greenlets: int
    sockets: int
    blocks: int
    rss: int


@pytest.fixture(scope='module', autouse=True)
def _descriptors() -> Iterator[None]:
    """A limit of descriptors that suffices for this process and its servers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < AT_ONCE + SPARE:
        pytest.skip(f'only {hard} descriptors are allowed: ulimit -Hn')
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, AT_ONCE + SPARE), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Each server after a warm-up in which every module is imported and used."""
    with serve(request.param, 'tests.support.census:app', tmp_path=tmp_path) as server:
        open_and_close(server, CYCLES // 10)
        print(f'\n{server.kind}: {settled(server)} at the start')
        yield server


def open_and_close(server: Server, count: int) -> None:
    """Hold this many conversations, one after another."""
    for _ in range(count):
        with RawClient(server) as client:
            assert client.handshake().status == 101
            client.send_frame(TEXT, b'hello')
            assert client.receive_frame() == Frame(TEXT, b'hello')
            client.send_close()
            assert client.receive_frame().code == 1000
            assert client.read_to_eof() == b''


def open_at_once(server: Server, count: int) -> Census:
    """Use this many sockets at a time, and return the census meanwhile."""
    with ExitStack() as stack:
        # One after another: a connection without a request is one of gunicorn's
        # worker_connections, a WebSocket is not.
        clients = []
        for _ in range(count):
            clients.append(stack.enter_context(RawClient(server)))
            assert clients[-1].handshake().status == 101
            clients[-1].send_frame(TEXT, b'hello')
        for client in clients:
            assert client.receive_frame() == Frame(TEXT, b'hello')
        held = census(server)
        # Half of them close cleanly, and the others just disconnect.
        for client in clients[::2]:
            client.send_close()
            client.receive_frame()
    return held


def census(server: Server) -> Census:
    """Return the current census of the server."""
    answer = json.loads(http_get(server)[1])
    return Census(server.descriptors(), answer['greenlets'], answer['sockets'], answer['blocks'], server.rss())


def close_wait(server: Server) -> int:
    """Return the number of connections that wait for the server to close them."""
    rows = [line.split() for line in Path('/proc/net/tcp').read_text().splitlines()[1:]]
    return sum(row[1].endswith(f':{server.port:04X}') and row[3] == CLOSE_WAIT for row in rows)


def settled(server: Server) -> Census:
    """Return the census of the server once its last socket has gone."""
    wait_until(lambda: census(server).sockets == 0, 'no socket')
    return census(server)


def assert_given_back(server: Server, before: Census, held: Census | None = None) -> None:
    """Check that the server holds no more than before, and that no connection waits."""
    wait_until(lambda: all(map(le, census(server)[:3], before[:3])), f'no more than {before}')
    after = census(server)
    print(f'\n{server.kind}: before {before}, during {held}, after {after}')
    assert close_wait(server) == 0
    assert after.blocks < before.blocks + SLACK_BLOCKS
    assert after.rss < before.rss + SLACK


@pytest.mark.proves('H9')
def test_connections_one_after_another_leave_nothing(server: Server) -> None:
    before = settled(server)
    open_and_close(server, CYCLES)
    assert_given_back(server, before)


@pytest.mark.proves('H9')
def test_connections_at_once_leave_nothing(server: Server) -> None:
    # Warm up once: where an object remains, Python keeps the megabyte around it.
    open_at_once(server, AT_ONCE)
    before = settled(server)
    held = open_at_once(server, AT_ONCE)
    assert held.sockets == AT_ONCE
    assert held.descriptors == before.descriptors + AT_ONCE
    assert held.greenlets < before.greenlets + FEW
    assert_given_back(server, before, held)
