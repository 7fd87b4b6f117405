"""``connect --verbose``: the handshake and the frames of a client, as lines of text.

What is sent begins with ``>`` and what is received with ``<``. The beginning of each
payload is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..client import Client
from ..driver.codec import Frame
from ..driver.codes import Opcode
from ..driver.frame_tap import OPCODE_NAMES, FrameTap
from ..errors import ProtocolError
from ..io import syscalls
from ..io.connection import Connection
from ..io.transport import Transport, find_descriptor

__all__ = ['Trace', 'TracedClient', 'describe_frame']

Tell = Callable[[str], object]

# How much of a payload is shown.
_SHOWN = 64


class Trace:
    """One direction of a connection: its bytes go in, and its lines to ``tell``."""

    __slots__ = ('_head', '_is_refused', '_mark', '_tap', '_tell')

    def __init__(self, mark: str, tell: Tell, masked: bool) -> None:
        self._mark = mark
        self._tell = tell
        # The head, until it is complete.
        self._head: bytes | None = b''
        self._tap = FrameTap(masked=masked)
        self._is_refused = False

    def feed(self, chunk: bytes) -> None:
        """Tell what these bytes complete."""
        while self._head is not None:
            head, end, chunk = (self._head + chunk).partition(b'\r\n\r\n')
            if not end:
                self._head = head
                return
            self._tell_head(head.decode('latin-1').split('\r\n'))
        # The body of a refusal is no frame.
        for found in () if self._is_refused else self._tap.feed(chunk):
            line = str(found) if isinstance(found, ProtocolError) else describe_frame(found)
            self._tell(f'{self._mark} {line}')

    def _tell_head(self, lines: list[str]) -> None:
        for line in lines:
            self._tell(f'{self._mark} {line}')
        status = lines[0].split()[1:2] if lines[0].startswith('HTTP/') else ['101']
        # An interim response is followed by another head.
        self._is_refused = status != ['101']
        self._head = b'' if self._is_refused and status and status[0].startswith('1') else None


def describe_frame(frame: Frame) -> str:
    """Return the opcode, the length, and the beginning of the payload, in one line."""
    opcode, payload = frame.opcode, frame.payload
    more = '' if frame.fin else ', not the last of its message'
    name = f'{OPCODE_NAMES[opcode]} of {frame.length} bytes{more}'
    if opcode == Opcode.CLOSE and len(payload) > 1:
        code = int.from_bytes(payload[:2], 'big')
        return f'{OPCODE_NAMES[opcode]} {code} {payload[2:].decode(errors="replace")}'.rstrip()
    shown = payload[:_SHOWN]
    text = shown.hex(' ') if opcode == Opcode.BINARY else shown.decode(errors='replace')
    end = ' ...' if frame.length > len(shown) else ''
    return f'{name}: {text}{end}' if payload else name


class _TracedTransport:
    """A transport that shows what it sends."""

    __slots__ = ('_descriptor', '_feed', '_transport')

    def __init__(self, transport: Transport, feed: Callable[[bytes], object]) -> None:
        self._transport = transport
        self._descriptor = find_descriptor(transport)
        self._feed = feed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def recv(self, size: int) -> bytes:
        return syscalls.recv(self._transport, self._descriptor, size)

    def send(self, data: Any) -> int:
        sent = syscalls.send(self._transport, self._descriptor, data)
        self._feed(bytes(data[:sent]))
        return sent

    def sendmsg(self, parts: Sequence[bytes | memoryview]) -> int:
        sent = syscalls.sendmsg(self._transport, self._descriptor, parts)
        self._feed(b''.join(parts)[:sent])
        return sent


class _TracedConnection(Connection):
    """A connection that shows its bytes; with each redirect it begins again."""

    __slots__ = ('_client', '_received')

    def __init__(self, client: TracedClient, *arguments: Any) -> None:
        self._client = client
        super().__init__(client, *arguments)

    def open_stream(self, transport: Transport) -> None:
        tell = self._client.tell
        self._received = Trace('<', tell, masked=False)
        sent: Any = _TracedTransport(transport, Trace('>', tell, masked=True).feed)
        super().open_stream(sent)

    def received(self, chunk: bytes) -> bool:
        self._received.feed(chunk)
        return super().received(chunk)


class TracedClient(Client):
    """A client whose handshake and frames go to ``tell``, line by line."""

    __slots__ = ('tell',)

    _connection_class = _TracedConnection

    tell: Tell
