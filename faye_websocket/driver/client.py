"""The client's end of RFC 6455: its opening handshake (section 4.1), on top of ``Hybi``'s messages.

    driver = client(io)
    driver.on('message', print)
    driver.start()

``io`` needs a ``url`` and ``write(data)``. When the handshake fails, ``error`` gets a HandshakeError that says what was
expected and what came; ``status``, ``headers`` and ``body`` (up to 1 KiB of it) are those of the response.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..errors import HandshakeError
from ..http.head import (
    HeaderList,
    Headers,
    ResponseParser,
    basic_credentials,
    check_headers,
    is_token,
    serialize_head,
    tokens,
)
from ..http.url import parse_url
from .base import CLOSED, CONNECTING, Request
from .hybi import Hybi, accept_key
from .writer import IO

__all__ = ['Client', 'ClientIO', 'client']

# As much of a refusal's body as is worth showing.
_MAX_BODY = 1024
_WITHOUT_BODY = (204, 304)
_REDIRECTS = (301, 302, 303, 307, 308)
# Headers that belong to the handshake (section 4.1); a caller's own would break it.
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
    """What a client's driver is given."""

    @property
    def url(self) -> str:
        """The URL to connect to."""


class Client(Hybi):
    """The client's end of a connection.

    ``redirect(location)`` is called when the response is a redirect. It returns True if
    the owner follows it, for which it may call ``restart``.
    """

    __slots__ = (
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
        super().__init__(Request({}, io.write), (), headers=check_client_headers(headers), **options)
        self.io = io
        self._url = parse_url(io.url)
        self._offered = check_protocols(protocols)
        # Section 4.1: "The elements that comprise this value [...] MUST all be unique strings."
        if len(set(self._offered)) < len(self._offered):
            raise ValueError('protocols: a subprotocol is named more than once')
        self._key = make_key(random or os.urandom)
        self._response_parser = ResponseParser()
        self._redirect = redirect
        self._offered_extensions = ''
        self.status: int | None = None
        self.body = b''

    @property
    def headers(self) -> HeaderList:
        """The headers of the response, none before it is there."""
        return self._response_parser.headers if self.status is not None else []

    def check(self) -> None:
        """A client has nothing to check before its request."""

    def end(self, reason: str = '') -> None:
        """The connection is gone; before the handshake was complete that is an error."""
        if self.ready_state == CONNECTING:
            self.give_up(self._failure(reason or 'the connection was closed'))
        else:
            super().end(reason)

    def give_up(self, error: Exception) -> None:
        """The connection failed before it was open, which can be found out only once."""
        if self.ready_state != CLOSED:
            super().give_up(error)

    def restart(
        self, url: str, headers: Headers, random: Callable[[int], bytes] = os.urandom
    ) -> None:
        """Begin again with the handshake for another URL, on a new connection.

        For an owner that follows a redirect. What was sent so far stays queued. Raises
        ValueError for a URL or headers that a handshake cannot have.
        """
        self._url = parse_url(url)
        self._headers = check_client_headers(headers)
        self._key = make_key(random)
        self._response_parser = ResponseParser()
        self.status = None
        self.body = b''
        self._is_started = False

    def parse(self, chunk: bytes) -> None:
        """Takes the next bytes of the wire, the response's first."""
        if self.ready_state == CONNECTING and self._is_started:
            chunk = self._parse_response(chunk)
        Hybi.parse(self, chunk)

    def _response(self) -> bytes:
        """The request, which is what a client starts with."""
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
            headers.append(('Authorization', basic_credentials(self._url.username, self._url.password)))
        return serialize_head(f'GET {self._url.target} HTTP/1.1', headers + self._headers)

    def _respond(self) -> None:
        """The request is out; the response decides."""

    def _parse_response(self, chunk: bytes) -> bytes:
        """The response's head, and a refusal's body; answers what follows an acceptance."""
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
        return bool(self.status in _REDIRECTS and location and self._redirect and self._redirect(location))

    def _collect_body(self, chunk: bytes) -> None:
        """Keeps the beginning of a refusal's body; raises HandshakeError once there is enough of it."""
        self.body = (self.body + chunk)[:_MAX_BODY]
        if len(self.body) >= self._body_length():
            raise self._failure('')

    def _body_length(self) -> int:
        """How much of the body is worth waiting for."""
        if self.status in _WITHOUT_BODY or self._response_parser.get('Transfer-Encoding') is not None:
            # There is none, or it ends where chunks end: what has come with the head must do.
            return 0
        length = self._response_parser.get('Content-Length') or ''
        # More digits than these are more than is kept; thousands of them int() would refuse.
        return min(_MAX_BODY, int(length)) if length.isdecimal() and len(length) < 9 else _MAX_BODY

    def _failure(self, reason: str) -> HandshakeError:
        """What is wrong with the response, as far as it came."""
        if self.status is None:
            return HandshakeError('', f'handshake failed: {reason} before there was a response')
        status = f'{self.status} {self._response_parser.reason}'.rstrip()
        return HandshakeError(status, f'handshake failed: expected status 101, got {status}')

    def _check_response(self) -> None:
        """Section 4.1, the list of what a client must validate. Raises HandshakeError."""
        response = self._response_parser
        accept = accept_key(self._key)
        upgrade = tokens((response.get('Upgrade') or '').lower())
        self._expect('Upgrade', 'websocket', upgrade == ['websocket'])
        self._expect('Connection', 'Upgrade', 'upgrade' in tokens((response.get('Connection') or '').lower()))
        self._expect('Sec-WebSocket-Accept', accept, response.get('Sec-WebSocket-Accept') == accept)
        self._check_extensions(response.get('Sec-WebSocket-Extensions') or '')
        protocol = response.get('Sec-WebSocket-Protocol')
        # WHATWG goes further than RFC 6455: a client that offers subprotocols fails if
        # the server names none of them.
        is_right = protocol in self._offered if self._offered else protocol is None
        expected = ' or '.join(self._offered) or 'none'
        self._expect('Sec-WebSocket-Protocol', expected, is_right)
        self.protocol = protocol or ''

    def _check_extensions(self, answer: str) -> None:
        """Section 4.1, step 5: an extension in the answer that was not asked for fails the connection; and section 9.1."""
        if self._extensions is None:
            self._expect('Sec-WebSocket-Extensions', 'none', not tokens(answer))
            return
        try:
            self._extensions.activate(answer)
        except ValueError as error:
            text = f'expected Sec-WebSocket-Extensions to answer {self._offered_extensions!r}, got {answer!r}: {error}'
            raise HandshakeError('', f'handshake failed: {text}') from None
        self._agree(self._extensions)

    def _expect(self, name: str, expected: str, is_right: bool) -> None:
        """Raises HandshakeError when a header of the response is not right."""
        if not is_right:
            got = self._response_parser.get(name)
            raise HandshakeError('', f'handshake failed: expected {name} to be {expected}, got {got!r}')

    def _masking_key(self) -> bytes:
        """Section 5.3: the masking key "needs to be unpredictable"."""
        return _next_masking_key()


# Masking keys that wait for their frames; a child process must not use its parent's.
_masking_keys: list[bytes] = []
os.register_at_fork(after_in_child=_masking_keys.clear)


def _next_masking_key() -> bytes:
    """Four bytes of the system's random source, which is asked for many at a time: for each it would cost 0.6 us."""
    while not _masking_keys:
        block = os.urandom(1024)
        _masking_keys.extend([block[start:start + 4] for start in range(0, 1024, 4)])
    try:
        return _masking_keys.pop()
    except IndexError:  # pragma: no cover
        # Another OS thread was quicker.
        return os.urandom(4)


def make_key(random: Callable[[int], bytes]) -> str:
    """Return a key for the handshake.

    Section 4.1: "a nonce consisting of a randomly selected 16-byte value that has been
    base64-encoded".
    """
    return base64.b64encode(random(16)).decode()


def check_client_headers(headers: Headers) -> HeaderList:
    """The caller's request headers. Raises ValueError for one that belongs to the handshake."""
    pairs = check_headers(headers)
    for name, _ in pairs:
        if name.lower() in _OURS:
            raise ValueError(f'headers: {name} is set by the handshake')
    return pairs


def check_protocols(protocols: Iterable[str] | str | None) -> list[str]:
    """A ``protocols`` argument as a list. Raises ValueError for what is no name of a subprotocol."""
    names = tokens(protocols) if isinstance(protocols, str) else list(protocols or ())
    for name in names:
        if not isinstance(name, str) or not is_token(name):
            raise ValueError(f'protocols: {name!r} is not a subprotocol name')
    return names


def client(io: ClientIO, protocols: Iterable[str] = (), **options: Any) -> Client:
    """The driver for a client whose server is at ``io.url``; see ``Client``."""
    return Client(io, protocols, **options)
