"""Backpressure at full size, and the memory that a server's process takes meanwhile.

200 MB go to each of 100 readers, and a gigabyte goes to a slow handler. With
FAYE_TEST_SCALE=0.1 it is a tenth of that.
"""

from __future__ import annotations

import json
import os
import selectors
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.pressure_app import MAX_BUFFERED, SIZE, message
from tests.support.servers import Server, serve
from tests.support.waiting import until_in_time, wait_until
from tests.support.wire import BINARY, RawClient, http_get

SCALE = float(os.environ.get('FAYE_TEST_SCALE', '1'))

READERS = 100
BROADCAST = int(200e6 * SCALE) // SIZE
SENT = int(1e9 * SCALE) // SIZE

#: The seconds that a test may take on a machine that is busy with other work.
PATIENCE = 110.0

#: The beginning of a message as a server's frame, up to the end of its number, and the
#: length of the frame.
HEAD = struct.Struct('!BBQQ')
FRAME = 10 + SIZE


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server."""
    with serve('pywsgi', 'tests.support.pressure_app:app', tmp_path=tmp_path) as running:
        yield running


def progress(server: Server) -> dict[str, Any]:
    """Return the progress that the application reports."""
    return json.loads(http_get(server, '/-/progress')[1])


class Memory:
    """The resident memory of the server: its first value, and its maximum."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.before = self.highest = server.rss()
        self.next = 0.0

    def look(self) -> None:
        """Measure the memory, unless it was measured a moment ago."""
        if time.monotonic() > self.next:
            self.highest = max(self.highest, self.server.rss())
            self.next = time.monotonic() + 0.05

    @property
    def growth(self) -> int:
        """Return the difference between the maximum and the first value."""
        return self.highest - self.before


class Reader:
    """A client of the feed that checks the beginning and the number of each frame."""

    def __init__(self, server: Server) -> None:
        self.client = RawClient(server, '/feed')
        assert self.client.handshake().status == 101
        self.position = 0

    def take(self, buffer: memoryview) -> None:
        """Read all bytes that have arrived."""
        size = self.client.socket.recv_into(buffer)
        assert size, f'the connection ended after {self.position} bytes'
        start, end = self.position, self.position + size
        for number in range(start // FRAME, (end - 1) // FRAME + 1):
            # The part of this frame's header that has just arrived, if any.
            begin = number * FRAME
            first, last = max(start, begin), min(end, begin + HEAD.size)
            if first < last:
                assert buffer[first - start:last - start] == HEAD.pack(0x82, 127, SIZE, number)[first - begin:last - begin]
        self.position = end


def read_all(readers: list[Reader], length: int, memory: Memory) -> None:
    """Read this many bytes with every reader."""
    buffer = memoryview(bytearray(2**20))
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader.client.socket, selectors.EVENT_READ, reader)
        end = time.monotonic() + PATIENCE
        while selector.get_map():
            assert time.monotonic() < end, [reader.position for reader in readers]
            for key, _ in selector.select(1):
                key.data.take(buffer)
                if key.data.position == length:
                    selector.unregister(key.fileobj)
            memory.look()


@pytest.mark.proves('B3')
def test_one_stalled_reader_among_101_delays_no_other(server: Server) -> None:
    # The messages queued for the stalled reader and those that may be queued for the
    # others, which are shared, and as much again for the allocator.
    most = 4 * MAX_BUFFERED
    # A busy machine makes others fall behind, too.
    growth = until_in_time(lambda: stall_one(server), lambda growth: growth < most)
    assert growth < most


def stall_one(server: Server) -> int:
    """Broadcast to many readers, one of which is stalled, and return the bytes by which
    the server's memory grows.
    """
    # Of an earlier measurement.
    wait_until(lambda: progress(server)['open'] == 0, 'the end of all connections')
    with ExitStack() as stack:
        stalled = stack.enter_context(RawClient(server, '/feed'))
        assert stalled.handshake().status == 101
        readers = [Reader(server) for _ in range(READERS)]
        for reader in readers:
            stack.callback(reader.client.close)
        closes = len(progress(server)['closes'])
        memory, began = Memory(server), time.monotonic()
        http_get(server, f'/broadcast?count={BROADCAST}')
        read_all(readers, BROADCAST * FRAME, memory)
        seconds, told = time.monotonic() - began, progress(server)
        print(f'B3: {BROADCAST * SIZE / 1e6:.0f} MB to each of {READERS} in {seconds:.1f} s, '
              f'memory grew by {memory.growth / 2**20:.1f} MiB at most')
        assert told['closes'][closes:] == [[1013, 'slow consumer']]
        return memory.growth


def masked_frame(number: int) -> bytes:
    """Return a message as a client's frame with a key of zeros.

    Such a key leaves the payload unchanged, which makes no difference to TCP.
    """
    return HEAD.pack(0x80 | BINARY, 0xFF, SIZE, 0)[:10] + bytes(4) + message(number)


@pytest.mark.proves('B4')
def test_a_handler_that_falls_behind_slows_the_peer_down(server: Server) -> None:
    with RawClient(server, '/slow', deadline=PATIENCE) as client:
        assert client.handshake().status == 101
        memory, began = Memory(server), time.monotonic()
        client.socket.settimeout(PATIENCE)
        for number in range(SENT):
            client.send(masked_frame(number))
            memory.look()
        while (told := progress(server))['handled'] < SENT:
            assert time.monotonic() < began + PATIENCE, told
            memory.look()
        seconds = time.monotonic() - began
        print(f'B4: {SENT * SIZE / 1e6:.0f} MB in {seconds:.1f} s, memory grew by {memory.growth / 2**20:.1f} MiB at most')
        assert told['in order']
        # 64 messages are queued, and one more read.
        assert memory.growth < 4 * 64 * SIZE
