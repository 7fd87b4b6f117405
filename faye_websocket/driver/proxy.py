"""A tunnel through a proxy by HTTP CONNECT (RFC 9110 section 9.3.6).

    tunnel = Proxy(io, 'example.com:443')
    tunnel.on('connect', ...)
    tunnel.start()

``io`` needs a method ``write(data)`` only. The tunnel emits ``connect()`` once it is
established, or ``error(exception)``, and is finished then. The bytes that ``parse`` was
given behind the proxy's response are in ``rest``.
"""

from __future__ import annotations

from ..errors import HandshakeError
from ..http.head import HeaderList, Headers, ResponseParser, check_headers, serialize_head
from .emitter import EventEmitter
from .writer import IO

__all__ = ['Proxy']


class Proxy(EventEmitter):
    """A tunnel through a proxy to ``authority``, a host and a port.

    ``headers`` are added to the request to the proxy.
    """

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
        """The bytes from the far end that arrived together with the response."""
        return self._response.rest

    def start(self) -> None:
        """Send the request for the tunnel."""
        headers = [('Host', self._authority), *self._headers]
        self._io.write(serialize_head(f'CONNECT {self._authority} HTTP/1.1', headers))

    def parse(self, chunk: bytes) -> None:
        """Parse the next bytes of the proxy's response, cut anywhere."""
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
        """Record that the connection was lost.

        Emit ``error`` if there is no tunnel yet.
        """
        if not self._is_done:
            self._fail(HandshakeError('', 'the proxy closed the connection before it answered'))

    def _fail(self, error: HandshakeError) -> None:
        """Emit ``error``: there will be no tunnel."""
        self._is_done = True
        self.emit('error', error)
