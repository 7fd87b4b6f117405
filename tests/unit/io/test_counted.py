"""The transport that counts what it sends."""

from __future__ import annotations

import socket

from faye_websocket.io.counted import CountedTransport
from faye_websocket.metrics import SocketCounters


def test_counts_what_is_sent_and_passes_the_rest_on() -> None:
    ours, theirs = socket.socketpair()
    counters = SocketCounters()
    with ours, theirs:
        transport = CountedTransport(ours, counters)
        transport.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        size = int.from_bytes(transport.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4), 'little')
        assert size == ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert (transport.send(b'abc'), transport.sendmsg([b'de', b'f'])) == (3, 3)
        assert (theirs.recv(10), counters.bytes_sent) == (b'abcdef', 6)
        theirs.sendall(b'xy')
        assert transport.recv(10) == b'xy'
        transport.shutdown(socket.SHUT_RDWR)
        transport.close()
        assert transport.fileno() == -1
