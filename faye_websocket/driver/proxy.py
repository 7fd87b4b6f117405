"""HTTP CONNECT (RFC 9110 section 9.3.6): what a client says to a proxy before anything else.

    tunnel = Proxy(io, 'example.com:443')
    tunnel.on('connect', ...)
    tunnel.start()

``io`` needs ``write(data)`` only. Emits ``connect()`` once the tunnel is there, or ``error(exception)``; then it is done, and
the bytes that ``parse`` was given behind the proxy's answer are in ``rest``.
"""

from __future__ import annotations

from ..errors import HandshakeError
from ..http.head import HeaderList, Headers, ResponseParser, check_headers, serialize_head
from .emitter import EventEmitter
from .writer import IO

__all__ = ['Proxy']


class Proxy(EventEmitter):
    """The way through a proxy to ``authority``, a host and a port. ``headers`` are further ones for the proxy."""

    __slots__ = ('_authority', '_headers', '_io', '_is_done', '_response', 'headers', 'status')

    def __init__(self, io: IO, authority: str, headers: Headers = None) -> None:
        super().__init__()
        self._io = io
        self._authority = authority
        self._headers = check_headers(headers)
        self._response = ResponseParser()
        self._is_done = False
        self.status: int | None = None
        self.headers: HeaderList = []

    @property
    def rest(self) -> bytes:
        """The first bytes from the other end of the tunnel, if they came with the proxy's answer."""
        return self._response.rest

    def start(self) -> None:
        """Asks for the tunnel."""
        headers = [('Host', self._authority), *self._headers]
        self._io.write(serialize_head(f'CONNECT {self._authority} HTTP/1.1', headers))

    def parse(self, chunk: bytes) -> None:
        """Takes the next bytes of the proxy's answer."""
        if self._is_done:
            return
        try:
            if not self._response.parse(chunk):
                return
        except HandshakeError as error:
            self._fail(error)
            return
        self._is_done = True
        self.status, self.headers = self._response.status, self._response.headers
        if 200 <= self.status < 300:
            self.emit('connect')
        else:
            status = f'{self.status} {self._response.reason}'.rstrip()
            self._fail(HandshakeError(status, f'the proxy answered {status}'))

    def end(self) -> None:
        """The connection is gone."""
        if not self._is_done:
            self._fail(HandshakeError('', 'the proxy closed the connection before it answered'))

    def _fail(self, error: HandshakeError) -> None:
        """There will be no tunnel."""
        self._is_done = True
        self.emit('error', error)
