"""The client's end of RFC 6455: the opening handshake (section 4.1) on top of ``Hybi``.

    driver = client(io)
    driver.on('message', print)
    driver.start()

``io`` needs a ``url`` and a method ``write(data)``. If the handshake fails, ``error``
is emitted with a HandshakeError that says what was expected and what was received.
``status``, ``headers`` and ``body`` (the first KiB of it) are those of the response.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..errors import HandshakeError
from ..http.chunked import join_chunks
from ..http.head import (
    HeaderList,
    Headers,
    ResponseParser,
    basic_credentials,
    check_headers,
    is_token,
    serialize_head,
    to_list,
    tokens,
)
from ..http.url import parse_url
from .base import CLOSED, CONNECTING, Request
from .hybi import Hybi, accept_key
from .writer import IO

__all__ = ['Client', 'ClientIO', 'client']

# The length to which the body of a refusal is kept, and that of its chunks.
_MAX_BODY = 1024
_MAX_CHUNKS = 8 * _MAX_BODY
_WITHOUT_BODY = (204, 304)
_REDIRECTS = (301, 302, 303, 307, 308)
# Section 4.1: the handshake sets these headers; a second value from the caller would
# break it.
_OURS = frozenset(
    {
        'host',
        'upgrade',
        'connection',
        'sec-websocket-key',
        'sec-websocket-version',
        'sec-websocket-protocol',
        'sec-websocket-extensions',
    }
)


class ClientIO(IO, Protocol):
    """The ``io`` that the driver of a client needs."""

    @property
    def url(self) -> str:
        """The URL to connect to."""


class Client(Hybi):
    """The client's end of a connection.

    ``redirect(location)`` is called when the response is a redirect. It returns True if
    the owner follows it, for which it may call ``restart``.
    """

    __slots__ = (
        '_chunks',
        '_key',
        '_offered',
        '_offered_extensions',
        '_redirect',
        '_response_parser',
        '_url',
        'body',
        'status',
    )

    is_client = True

    def __init__(
        self,
        io: ClientIO,
        protocols: Iterable[str] = (),
        *,
        headers: Headers = None,
        random: Callable[[int], bytes] | None = None,
        redirect: Callable[[str], bool] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            Request({}, io.write), (), headers=check_client_headers(headers), **options
        )
        self.io = io
        self._url = parse_url(io.url)
        self._offered = check_protocols(protocols)
        # Section 4.1: "The elements that comprise this value [...] MUST all be unique
        # strings."
        if len(set(self._offered)) < len(self._offered):
            raise ValueError('protocols: a subprotocol is named more than once')
        self._key = make_key(random or os.urandom)
        self._response_parser = ResponseParser()
        self._redirect = redirect
        self._offered_extensions = ''
        self.status: int | None = None
        self._chunks = b''
        self.body = b''

    @property
    def headers(self) -> HeaderList:
        """The headers of the response; empty before the response has arrived."""
        return self._response_parser.headers if self.status is not None else []

    def check(self) -> None:
        """Do nothing: a client has nothing to check before its request."""

    def end(self, reason: str = '') -> None:
        """Record that the connection was lost.

        Before the handshake is complete, emit an error as well.
        """
        if self.ready_state == CONNECTING:
            self.give_up(self._failure(reason or 'the connection was closed'))
        else:
            super().end(reason)

    def give_up(self, error: Exception) -> None:
        """Emit ``error`` and ``close``, once, for a connection that did not open."""
        if self.ready_state != CLOSED:
            super().give_up(error)

    def restart(
        self, url: str, headers: Headers, random: Callable[[int], bytes] = os.urandom
    ) -> None:
        """Begin again with the handshake for another URL, on a new connection.

        This is for an owner that follows a redirect. Messages that are queued stay so.
        Raise ValueError for a URL or headers that a handshake cannot have.
        """
        self._url = parse_url(url)
        self._headers = check_client_headers(headers)
        self._key = make_key(random)
        self._response_parser = ResponseParser()
        self.status = None
        self._chunks = b''
        self.body = b''
        self._is_started = False

    def parse(self, chunk: bytes) -> None:
        """Parse the next bytes received: first the response, then frames."""
        if self.ready_state == CONNECTING and self._is_started:
            chunk = self._parse_response(chunk)
        Hybi.parse(self, chunk)

    def _response(self) -> bytes:
        """Return the request; it is the first thing that a client writes."""
        headers: HeaderList = [
            ('Host', self._url.authority),
            ('Upgrade', 'websocket'),
            ('Connection', 'Upgrade'),
            ('Sec-WebSocket-Key', self._key),
            ('Sec-WebSocket-Version', '13'),
        ]
        if self._offered:
            headers.append(('Sec-WebSocket-Protocol', ', '.join(self._offered)))
        if self._extensions is not None:
            self._offered_extensions = self._extensions.generate_offer()
            if self._offered_extensions:
                headers.append(('Sec-WebSocket-Extensions', self._offered_extensions))
        names = {name.lower() for name, _ in self._headers}
        if self._url.username is not None and 'authorization' not in names:
            headers.append(
                ('Authorization', basic_credentials(self._url.username, self._url.password))
            )
        return serialize_head(f'GET {self._url.target} HTTP/1.1', headers + self._headers)

    def _respond(self) -> None:
        """Do nothing until the response has arrived."""

    def _parse_response(self, chunk: bytes) -> bytes:
        """Parse the head of the response, and the body if it is a refusal.

        Return the bytes that follow an acceptance.
        """
        response = self._response_parser
        try:
            if self.status is None:
                if not response.parse(chunk):
                    return b''
                self.status, chunk = response.status, response.take_rest()
            if self._is_redirected():
                return b''
            if self.status != 101:
                self._collect_body(chunk)
                return b''
            self._check_response()
        except HandshakeError as error:
            self.give_up(error)
            return b''
        self._open()
        return chunk

    def _is_redirected(self) -> bool:
        """Return whether the response is a redirect that the owner follows."""
        location = self._response_parser.get('Location')
        return bool(
            self.status in _REDIRECTS and location and self._redirect and self._redirect(location)
        )

    def _collect_body(self, chunk: bytes) -> None:
        """Keep the beginning of a refusal's body.

        Raise HandshakeError once enough of it has arrived.
        """
        if self._response_parser.get('Transfer-Encoding') is not None:
            self._chunks = (self._chunks + chunk)[:_MAX_CHUNKS]
            body, is_whole = join_chunks(self._chunks)
            is_whole = is_whole or len(self._chunks) == _MAX_CHUNKS
        else:
            body = self.body + chunk
            is_whole = len(body) >= self._body_length()
        self.body = body[:_MAX_BODY]
        if is_whole or len(body) >= _MAX_BODY or self.status in _WITHOUT_BODY:
            self._chunks = b''
            raise self._failure('')

    def _body_length(self) -> int:
        """Return how many bytes of a body without chunks to wait for."""
        length = self._response_parser.get('Content-Length') or ''
        # A length of nine digits is above the limit in any case, and int() raises for
        # one of thousands of digits.
        return min(_MAX_BODY, int(length)) if length.isdecimal() and len(length) < 9 else _MAX_BODY

    def _failure(self, reason: str) -> HandshakeError:
        """Return the error for a response that is missing, or is not a 101."""
        if self.status is None:
            return HandshakeError('', f'handshake failed: {reason} before a response arrived')
        status = f'{self.status} {self._response_parser.reason}'.rstrip()
        return HandshakeError(status, f'handshake failed: expected status 101, got {status}')

    def _check_response(self) -> None:
        """Raise HandshakeError unless the response is valid by section 4.1."""
        response = self._response_parser
        accept = accept_key(self._key)
        upgrade = tokens((response.get('Upgrade') or '').lower())
        self._expect('Upgrade', 'websocket', upgrade == ['websocket'])
        self._expect(
            'Connection', 'Upgrade', 'upgrade' in tokens((response.get('Connection') or '').lower())
        )
        self._expect('Sec-WebSocket-Accept', accept, response.get('Sec-WebSocket-Accept') == accept)
        self._check_extensions(response.get('Sec-WebSocket-Extensions') or '')
        protocol = response.get('Sec-WebSocket-Protocol')
        # WHATWG goes further than RFC 6455: a client that offers subprotocols fails if
        # the server selects none of them.
        is_right = protocol in self._offered if self._offered else protocol is None
        expected = ' or '.join(self._offered) or 'none'
        self._expect('Sec-WebSocket-Protocol', expected, is_right)
        self.protocol = protocol or ''

    def _check_extensions(self, answer: str) -> None:
        """Raise HandshakeError if the response names an extension that was not offered.

        Sections 4.1, step 5, and 9.1.
        """
        if self._extensions is None:
            self._expect('Sec-WebSocket-Extensions', 'none', not tokens(answer))
            return
        try:
            self._extensions.activate(answer)
        except ValueError as error:
            text = f'expected Sec-WebSocket-Extensions to accept {self._offered_extensions!r}, got {answer!r}: {error}'
            raise HandshakeError('', f'handshake failed: {text}') from None
        self._agree(self._extensions)

    def _expect(self, name: str, expected: str, is_right: bool) -> None:
        """Raise HandshakeError for this header of the response, unless ``is_right``."""
        if not is_right:
            got = self._response_parser.get(name)
            raise HandshakeError(
                '', f'handshake failed: expected {name} to be {expected}, got {got!r}'
            )

    def _masking_key(self) -> bytes:
        """Return a new masking key. Section 5.3: it "needs to be unpredictable"."""
        return _next_masking_key()


# Masking keys that were read ahead of need. A child process must not use those of its
# parent.
_masking_keys: list[bytes] = []
os.register_at_fork(after_in_child=_masking_keys.clear)


def _next_masking_key() -> bytes:
    """Return four bytes from the system's random source.

    They are read 1024 at a time; a call of urandom() for each key would take 0.6 us.
    """
    while not _masking_keys:
        block = os.urandom(1024)
        _masking_keys.extend([block[start : start + 4] for start in range(0, 1024, 4)])
    try:
        return _masking_keys.pop()
    except IndexError:  # pragma: no cover
        # Another OS thread has taken the last one.
        return os.urandom(4)


def make_key(random: Callable[[int], bytes]) -> str:
    """Return a key for the handshake.

    Section 4.1: "a nonce consisting of a randomly selected 16-byte value that has been
    base64-encoded".
    """
    return base64.b64encode(random(16)).decode()


def check_client_headers(headers: Headers) -> HeaderList:
    """Return the caller's request headers as a list of pairs.

    Raise ValueError for a header that the handshake sets.
    """
    pairs = check_headers(headers)
    for name, _ in pairs:
        if name.lower() in _OURS:
            raise ValueError(f'headers: {name} is set by the handshake')
    return pairs


def check_protocols(protocols: Iterable[str] | str | None) -> list[str]:
    """Return a ``protocols`` argument as a list.

    Raise ValueError for a name that is not a token (section 4.1), and TypeError for
    what is not a list.
    """
    if isinstance(protocols, str):
        names = tokens(protocols)
    else:
        names = to_list('protocols', protocols or (), 'a list of names or a str')
    for name in names:
        if not isinstance(name, str) or not is_token(name):
            raise ValueError(f'protocols: {name!r} is not a subprotocol name')
    return names


def client(io: ClientIO, protocols: Iterable[str] = (), **options: Any) -> Client:
    """Return the driver of a client that connects to ``io.url``; see ``Client``."""
    return Client(io, protocols, **options)
