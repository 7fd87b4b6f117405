"""Servers and proxies in the test's own process that follow a script.

    with scripted(accept) as server:
        ws = Client(server.url)
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gevent
import gevent.ssl
from gevent import socket
from gevent.pool import Pool
from gevent.server import StreamServer

from tests.support.certificates import Certificate
from tests.support.wire import CLOSE, parse_head

Script = Callable[[Any, bytes], object]

GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'


class Scripted:
    """A server that reads the head of each request, and then runs the script.

    The heads are kept in ``heads``. With ``reads_head=False`` the script begins at
    once, with an empty head.
    """

    def __init__(
        self,
        script: Script,
        certificate: Certificate | None = None,
        reads_head: bool = True,
        asks_certificate: bool = False,
        listener: Any = ('127.0.0.1', 0),
    ) -> None:
        self.script = script
        self.reads_head = reads_head
        self.heads: list[bytes] = []
        self.names: list[str | None] = []
        self.peers: list[Any] = []
        self.context = None
        if certificate is not None:
            self.context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate.certfile, certificate.keyfile)
            self.context.sni_callback = lambda sock, name, context: self.names.append(name)
            if asks_certificate:
                self.context.verify_mode = gevent.ssl.CERT_REQUIRED
                self.context.load_verify_locations(certificate.authority)
        self.server = StreamServer(listener, self.handle, spawn=Pool())

    def handle(self, sock: Any, address: Any) -> None:
        """Handle one connection."""
        with suppress(OSError, EOFError):
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
                self.peers.append(sock.getpeercert())
            try:
                head = read_head(sock) if self.reads_head else b''
                self.heads.append(head)
                self.script(sock, head)
            finally:
                sock.close()

    @property
    def port(self) -> int:
        """The port."""
        return int(self.server.server_port)

    @property
    def authority(self) -> str:
        """The host and the port."""
        return f'127.0.0.1:{self.port}'

    @property
    def url(self) -> str:
        """The URL for a WebSocket client."""
        return f'{"ws" if self.context is None else "wss"}://{self.authority}/'

    @property
    def origin(self) -> str:
        """The URL as a proxy."""
        return f'{"http" if self.context is None else "https"}://{self.authority}'

    def headers(self, index: int = -1) -> dict[str, str]:
        """Return the headers of a request, by their names in lower case."""
        lines = self.heads[index].decode('latin-1').split('\r\n')[1:-2]
        return {name.lower(): value.strip() for name, _, value in (line.partition(':') for line in lines)}

    def line(self, index: int = -1) -> str:
        """Return the first line of a request."""
        return self.heads[index].decode('latin-1').split('\r\n')[0]


@contextmanager
def scripted(script: Script, **options: Any) -> Iterator[Scripted]:
    """Run a scripted server for this block."""
    server = Scripted(script, **options)
    server.server.start()
    try:
        yield server
    finally:
        server.server.stop(timeout=0)


def read_head(sock: Any) -> bytes:
    """Read up to the empty line, and not a byte more."""
    head = b''
    while not head.endswith(b'\r\n\r\n'):
        byte = sock.recv(1)
        if not byte:
            raise EOFError
        head += byte
    return head


def read_to_eof(sock: Any) -> bytes:
    """Read all bytes up to the end."""
    data = b''
    while chunk := sock.recv(65536):
        data += chunk
    return data


def acceptance(head: bytes, *lines: str) -> bytes:
    """Return the response that accepts this request."""
    key = parse_head(b'HTTP/1.1 000\r\n' + head.partition(b'\r\n')[2]).get('Sec-WebSocket-Key')
    accept = base64.b64encode(hashlib.sha1(f'{key}{GUID}'.encode()).digest()).decode()
    head_lines = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade',
                  f'Sec-WebSocket-Accept: {accept}', *lines, '', '']
    return '\r\n'.join(head_lines).encode()


def accepting(behind: bytes = b'', *lines: str) -> Script:
    """Return a script that accepts, and responds to the client's close frame.

    It sends the bytes ``behind`` in the segment of the response.
    """
    def script(sock: Any, head: bytes) -> None:
        sock.sendall(acceptance(head, *lines) + behind)
        answer_close(sock)
    return script


def answer_close(sock: Any) -> None:
    """Respond to the client's close frame, and read to the end."""
    data = b''
    while chunk := sock.recv(65536):
        data += chunk
        # Short masked frames: two bytes, the key, the payload.
        while len(data) >= 2 and len(data) >= (size := 6 + (data[1] & 0x7F)):
            if data[0] & 0x0F == CLOSE:
                sock.sendall(bytes((0x80 | CLOSE, 0)))
                sock.shutdown(socket.SHUT_WR)
            data = data[size:]


def answering(response: bytes, *, closes: bool = False) -> Script:
    """Return a script that sends a response, and closes or waits for the client to
    close.
    """
    def script(sock: Any, head: bytes) -> None:
        sock.sendall(response)
        if not closes:
            read_to_eof(sock)
    return script


def silent(sock: Any, head: bytes) -> None:
    """Send nothing."""
    read_to_eof(sock)


def closing(sock: Any, head: bytes) -> None:
    """Close."""


def resetting(sock: Any, head: bytes) -> None:
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))


def tunnelling(sock: Any, head: bytes, interim: bytes = b'') -> None:
    """Open a tunnel for CONNECT, after ``interim`` responses."""
    host, _, port = head.split(b' ')[1].decode().rpartition(':')
    there = socket.create_connection((host, int(port)))
    try:
        sock.sendall(interim + b'HTTP/1.1 200 Connection established\r\n\r\n')
        gevent.joinall([gevent.spawn(pump, sock, there), gevent.spawn(pump, there, sock)], raise_error=False)
    finally:
        there.close()


def pump(source: Any, target: Any) -> None:
    """Copy all bytes up to the end."""
    # gevent raises ValueError for a TLS socket that the other direction has closed.
    with suppress(OSError, ValueError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
