"""A blocking client that shows the raw bytes.

    client = RawClient(server, '/chat')
    client.handshake()
    client.send_frame(TEXT, b'hello')
    assert client.receive_frame() == Frame(TEXT, b'hello')

It frames messages itself, and shares no code with faye_websocket.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from tests.support.processes import Endpoint
from tests.support.waiting import DEADLINE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

Headers = Sequence[tuple[str, str]]
Client = TypeVar('Client', bound='RawClient')

#: RFC 6455, 1.3: its example of a handshake.
KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
RFC_6455 = (
    ('Upgrade', 'websocket'), ('Connection', 'Upgrade'), ('Sec-WebSocket-Key', KEY), ('Sec-WebSocket-Version', '13'))

#: draft-hixie-thewebsocketprotocol-76, 1.2: its example. No header announces the body
#: that follows the head, nor the proof in the response.
HIXIE_76 = (
    ('Connection', 'Upgrade'), ('Sec-WebSocket-Key2', '12998 5 Y3 1  .P00'), ('Upgrade', 'WebSocket'),
    ('Sec-WebSocket-Key1', '4 @1  46546xW%0l 1 5'), ('Origin', 'http://example.com'))
HIXIE_76_BODY = b'^n:ds[4U'
HIXIE_76_PROOF = b"8jKS'y:G*Co,Wxa-"
HIXIE_76_CLOSE = b'\xff\x00'


class Frame(NamedTuple):
    """A frame as it was on the wire."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0

    @property
    def code(self) -> int | None:
        """The code of a close frame."""
        return int.from_bytes(self.payload[:2], 'big') if len(self.payload) >= 2 else None

    @property
    def reason(self) -> str:
        """The reason of a close frame."""
        return self.payload[2:].decode()


class Head(NamedTuple):
    """The head of an HTTP response."""

    status: int
    status_line: str
    headers: list[tuple[str, str]]

    def names(self) -> set[str]:
        """Return the names of its headers, in lower case."""
        return {name.lower() for name, _ in self.headers}

    def get(self, name: str) -> str | None:
        """Return the first header of that name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def parse_head(head: bytes) -> Head:
    """Return the status and the headers of a response's head."""
    status_line, *lines = head.decode('latin-1').rstrip('\r\n').split('\r\n')
    headers = [(name, value.strip()) for name, _, value in (line.partition(':') for line in lines)]
    return Head(int(status_line.split(' ')[1]), status_line, headers)


def serialize_frame(opcode: int, payload: bytes = b'', *, fin: bool = True, masked: bool = True, rsv: int = 0) -> bytes:
    """Return a frame, by default as a client sends it."""
    first = fin << 7 | rsv << 4 | opcode
    if len(payload) < 126:
        head = struct.pack('!BB', first, masked << 7 | len(payload))
    elif len(payload) < 1 << 16:
        head = struct.pack('!BBH', first, masked << 7 | 126, len(payload))
    else:
        head = struct.pack('!BBQ', first, masked << 7 | 127, len(payload))
    if not masked:
        return head + payload
    masking_key = os.urandom(4)
    return head + masking_key + bytes(byte ^ masking_key[i % 4] for i, byte in enumerate(payload))


def close_payload(code: int, reason: str = '') -> bytes:
    """Return the payload of a close frame."""
    return code.to_bytes(2, 'big') + reason.encode()


def parse_frame(data: bytes) -> tuple[Frame, int] | None:
    """Return the first frame from a server, and its length on the wire.

    Return None if it is incomplete.
    """
    if len(data) < 2:
        return None
    length, start = data[1] & 0x7F, 2
    assert not data[1] & 0x80, f'a server masked its frame: {data[:16]!r}'
    if length > 125:
        start = 4 if length == 126 else 10
        length = int.from_bytes(data[2:start], 'big')
    if len(data) < max(start + length, start):
        return None
    frame = Frame(data[0] & 0x0F, bytes(data[start:start + length]), bool(data[0] & 0x80), data[0] >> 4 & 7)
    return frame, start + length


def parse_frames(data: bytes) -> tuple[list[Frame], bytes]:
    """Return all complete frames, and the bytes after them."""
    frames = []
    while parsed := parse_frame(data):
        frames.append(parsed[0])
        data = data[parsed[1]:]
    return frames, data


class RawClient:
    """One connection, with all bytes after the head of the response in ``transcript``.
    """

    def __init__(self, server: Endpoint, path: str = '/', headers: Headers = RFC_6455, *, host: str = 'example.com',
                 deadline: float = DEADLINE) -> None:
        self.path = path
        self.deadline = deadline
        self.was_reset = False
        self.transcript = b''
        self._request = request_head(path, [('Host', host), *headers])
        self._unread = b''
        self.socket = server.connect(deadline)
        if self.socket.family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self: Client) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def handshake(self, extra_bytes: bytes = b'') -> Head:
        """Send the request, with ``extra_bytes`` in the same segment, and read the
        head.
        """
        self.send(self._request + extra_bytes)
        return self.receive_head()

    def send(self, data: bytes) -> None:
        """Send bytes unchanged."""
        self.socket.sendall(data)

    def send_frame(self, opcode: int, payload: bytes = b'', fin: bool = True, masked: bool = True) -> None:
        """Send one frame."""
        self.send(serialize_frame(opcode, payload, fin=fin, masked=masked))

    def send_close(self, code: int = 1000, reason: str = '') -> None:
        """Send a close frame."""
        self.send_frame(CLOSE, close_payload(code, reason))

    def receive_head(self) -> Head:
        """Read up to the empty line after the headers."""
        self._read_until(lambda: b'\r\n\r\n' in self._unread)
        head, _, self._unread = self._unread.partition(b'\r\n\r\n')
        self.transcript = self._unread
        return parse_head(head)

    def receive(self, length: int) -> bytes:
        """Read exactly this many bytes."""
        self._read_until(lambda: len(self._unread) >= length)
        data, self._unread = self._unread[:length], self._unread[length:]
        return data

    def receive_frame(self) -> Frame:
        """Read one frame."""
        self._read_until(lambda: parse_frame(self._unread) is not None)
        parsed = parse_frame(self._unread)
        assert parsed is not None
        self._unread = self._unread[parsed[1]:]
        return parsed[0]

    def read_to_eof(self) -> bytes:
        """Return all bytes not read so far, up to the end of the connection.

        ``was_reset`` says how it ended.
        """
        end = time.monotonic() + self.deadline
        while self._read(end):
            pass
        data, self._unread = self._unread, b''
        return data

    def finish_sending(self) -> None:
        """Send FIN, and keep on reading. SSLSocket.shutdown() would stop decrypting."""
        socket.socket.shutdown(self.socket, socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.socket.close()

    def close(self) -> None:
        """Close the TCP connection, without a closing handshake."""
        self.socket.close()

    def _read_until(self, is_enough: Callable[[], bool]) -> None:
        end = time.monotonic() + self.deadline
        while not is_enough():
            if not self._read(end):
                raise EOFError(f'{self.path}: the connection ended behind {self._unread!r}')

    def _read(self, end: float) -> bool:
        self.socket.settimeout(max(end - time.monotonic(), 0.001))
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise AssertionError(f'{self.path}: no end within {self.deadline} s behind {self._unread!r}') from None
        except ConnectionResetError:
            self.was_reset, data = True, b''
        except (ssl.SSLError, BrokenPipeError):
            # OpenSSL sends an alert if the peer ends without close_notify, which fails
            # on a Unix socket of a peer that is gone.
            data = b''
        self._unread += data
        self.transcript += data
        return data != b''


def request_head(path: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return a GET request without a body."""
    lines = [f'GET {path} HTTP/1.1', *(f'{name}: {value}' for name, value in headers)]
    return ('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1')


def http_get(server: Endpoint, path: str = '/') -> tuple[Head, bytes]:
    """Return the response to a plain GET on a new connection."""
    with RawClient(server, path, [('Connection', 'close')]) as client:
        return client.handshake(), client.read_to_eof()
