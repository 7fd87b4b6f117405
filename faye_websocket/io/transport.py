"""Transport: a connected socket that never blocks, which a stream reads and writes.

A plain one is the interpreter's own socket object, which is inside of gevent's and
which gevent has made non-blocking. ``tls`` gives TLS the same methods. They raise
BlockingIOError where they would have to wait, and OSError (of which ssl.SSLError is
one) when the connection is broken.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Any, Protocol

from gevent.monkey import get_original

__all__ = ['PlainSocket', 'Transport', 'find_descriptor', 'hang_up', 'is_silent']


class Transport(Protocol):
    """The methods of a socket that a stream uses."""

    def fileno(self) -> int:
        """Return the descriptor to watch."""

    def recv(self, size: int, /) -> bytes:
        """Read what there is, at most ``size`` bytes; none at the end."""

    def send(self, data: Any, /) -> int:
        """Write what the kernel takes, and return its length."""

    def sendmsg(self, parts: Sequence[bytes | memoryview], /) -> int:
        """Write what the kernel takes of several pieces, and return its length."""

    def setsockopt(self, level: int, name: int, value: int, /) -> None:
        """Set an option of the socket."""

    def getsockopt(self, level: int, name: int, size: int, /) -> bytes:
        """Return an option of the socket."""

    def shutdown(self, how: int, /) -> None:
        """End the writing half (SHUT_WR), or give the peer up (SHUT_RDWR)."""

    def close(self) -> None:
        """Close the descriptor."""


#: The interpreter's own class of sockets, which has no buffers. In a monkey-patched
#: program ``socket.SocketType`` is gevent's.
PlainSocket: Any = get_original('socket', 'SocketType')


def find_descriptor(transport: Transport) -> int:
    """Return the descriptor of a plain socket.

    It is -1 for anything else, which has its own ways to read and write.
    """
    kind: Any = type(transport)
    is_plain = (
        isinstance(transport, PlainSocket)
        and kind.recv is PlainSocket.recv
        and kind.send is PlainSocket.send
    )
    return transport.fileno() if is_plain else -1


# Of Linux's struct tcp_info: the state, how often the oldest segment was sent again
# without an answer, zero-window probes without one, and the milliseconds since the last
# answer to anything. A segment without an answer that was sent only once may be young.
_TCP_INFO = struct.Struct('=BxBB52xI')
_ESTABLISHED = 1
# RFC 9293 section 3.8.6.3: the delay of an ACK "MUST be less than 0.5 seconds".
_ACK_DELAY = 0.5


def is_silent(transport: Transport, seconds: float) -> bool:
    """Return whether the peer's kernel owes an acknowledgement that is so late.

    False where that cannot be known.
    """
    try:
        info = transport.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        state, repetitions, probes, milliseconds = _TCP_INFO.unpack(info)
    except (AttributeError, OSError, struct.error):
        # Another system's, or no TCP: a peer on a Unix socket cannot lose its power.
        return False
    # The answer to one probe may be on its way.
    return bool(
        state == _ESTABLISHED
        and (repetitions or probes > 1)
        and milliseconds >= 1000 * max(seconds, _ACK_DELAY)
    )


def hang_up(transport: Any) -> None:
    """End a connection and close its socket.

    Closing alone would end nothing while a forked child has a copy of the descriptor.
    """
    try:
        transport.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It has ended already.
        pass
    transport.close()
