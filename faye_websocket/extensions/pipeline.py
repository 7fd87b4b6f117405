"""The extensions of one connection: negotiation, and the processing of every message.

An extension works on messages and reserved bits, never on frames. The names of its
methods are those of websocket-extensions for Ruby and Node, so that extensions are
easily ported from there. The docstring of the package describes the interface.

A fault of the peer's raises ValueError while negotiating, and ProtocolError afterwards.
Any other exception that an extension raises is logged. During the negotiation, the
extension is left out; later, the connection fails with 1011.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Hashable, Iterable
from functools import lru_cache
from typing import Protocol

from .. import calls
from ..errors import ExtensionFailure, ProtocolError
from ..http.head import is_token, to_list
from .header import Parameters, parse_extensions, serialize_extension

__all__ = [
    'EXPECTED',
    'ClientSession',
    'Extension',
    'Message',
    'Pipeline',
    'ServerSession',
    'Session',
]

logger = logging.getLogger('faye_websocket')

_RSV1, _RSV2, _RSV3 = 0x40, 0x20, 0x10
# All parameters of permessage-deflate together have 127 characters.
_LONGEST_SHARED = 256
# The value of the option, in the text of errors.
EXPECTED = 'a list such as [PermessageDeflate()]'
_ATTRIBUTES = ('name', 'rsv1', 'rsv2', 'rsv3')


class Message:
    """A message that an extension may change.

    It has ``data`` (bytes), ``opcode``, and ``rsv``, the sum of its reserved bits. An
    incoming message must not become longer than ``max_length``: raise MessageTooBig
    while it grows, and not after it has grown.
    """

    __slots__ = ('data', 'max_length', 'opcode', 'rsv')

    def __init__(self, opcode: int, data: bytes, rsv: int, max_length: int = sys.maxsize) -> None:
        self.opcode = opcode
        self.data = data
        self.rsv = rsv
        self.max_length = max_length

    def _bit(self, bit: int) -> bool:
        return self.rsv & bit != 0

    def _set_bit(self, bit: int, value: bool) -> None:
        self.rsv = self.rsv | bit if value else self.rsv & ~bit

    rsv1 = property(lambda self: self._bit(_RSV1), lambda self, value: self._set_bit(_RSV1, value))
    rsv2 = property(lambda self: self._bit(_RSV2), lambda self, value: self._set_bit(_RSV2, value))
    rsv3 = property(lambda self: self._bit(_RSV3), lambda self, value: self._set_bit(_RSV3, value))

    def __repr__(self) -> str:
        return f'<Message opcode={self.opcode} rsv={self.rsv >> 4:03b} {len(self.data)} bytes>'


class Session(Protocol):
    """An extension's part in one connection.

    A session may have an attribute ``broadcast_key``. Sessions with equal keys make
    equal bytes of a message, so that ``broadcast`` uses one of them for all. ``None``
    says that the bytes depend on the messages before.
    """

    def process_incoming_message(self, message: Message) -> Message:
        """Undo the work of the peer's session on a message.

        Raise ProtocolError if that is impossible.
        """

    def process_outgoing_message(self, message: Message) -> Message:
        """Change a message before it is framed."""

    def close(self) -> None:
        """Release what the session holds: the connection has ended."""


class ServerSession(Session, Protocol):
    """A session at the server's end."""

    def generate_response(self) -> Parameters:
        """Return the parameters that the server agrees to."""


class ClientSession(Session, Protocol):
    """A session at the client's end."""

    def generate_offer(self) -> Parameters | list[Parameters]:
        """Return the parameters to offer, or a list of several offers, best first."""

    def activate(self, parameters: Parameters) -> bool:
        """Accept the parameters of the server's response.

        Return False if they do not match the offer.
        """


class Extension(Protocol):
    """An element of the ``extensions`` option.

    It has a ``name``, the reserved bits that it uses, and methods that make sessions.
    """

    name: str
    rsv1: bool
    rsv2: bool
    rsv3: bool

    def create_client_session(self) -> ClientSession | None:
        """Return a session that makes an offer to a server, or None for no offer."""

    def create_server_session(self, offers: list[Parameters]) -> ServerSession | None:
        """Return a session for the best of a client's offers, or None for none."""


class Pipeline:
    """The extensions agreed on for one connection.

    ``header`` states them as Sec-WebSocket-Extensions does, and ``reserved`` is the sum
    of the reserved bits that they use. A server calls ``generate_response`` once; a
    client calls ``generate_offer``, and ``activate`` with the response. Raise TypeError
    or ValueError for an option that is not a sequence of extensions.
    """

    __slots__ = ('_extensions', '_sessions', 'header', 'reserved')

    def __init__(self, extensions: Iterable[Extension]) -> None:
        self._extensions = _check(extensions)
        self._sessions: tuple[Session, ...] = ()
        self.header = ''
        self.reserved = 0

    def generate_response(self, header: str) -> str:
        """Agree on extensions with a client, and return the header of the response.

        Raise ValueError for a malformed offer.
        """
        offers, agreed = parse_extensions(header), []
        for extension in self._extensions:
            mine = [parameters for name, parameters in offers if name == extension.name]
            # 9.1: two extensions cannot use one reserved bit
            if not mine or _bits(extension) & self.reserved:
                continue
            try:
                session = extension.create_server_session(mine)
                if session is not None:
                    agreed.append(serialize_extension(extension.name, session.generate_response()))
                    self._add(extension, session)
            except Exception:
                logger.exception('the extension %s failed to negotiate', extension.name)
        self._agree(agreed)
        return self.header

    def generate_offer(self) -> str:
        """Return the header that offers all extensions."""
        offered, header = [], []
        for extension in self._extensions:
            try:
                session = extension.create_client_session()
                if session is not None:
                    offers = session.generate_offer()
                    offers = offers if isinstance(offers, list) else [offers]
                    header += [serialize_extension(extension.name, offer) for offer in offers]
                    offered.append((extension, session))
            except Exception:
                logger.exception('the extension %s failed to make an offer', extension.name)
        self._extensions = tuple(extension for extension, _ in offered)
        self._sessions = tuple(session for _, session in offered)
        return ', '.join(header)

    def activate(self, header: str) -> None:
        """Use the extensions of a server's response.

        Raise ValueError for a response that the offer does not allow.
        """
        waiting = {extension.name: (extension, session) for extension, session in self._pairs()}
        self._sessions, agreed = (), []
        for name, parameters in parse_extensions(header):
            # 9.1: the server "MUST NOT" respond with an extension that was not offered,
            # and so with none twice
            extension, session = waiting.pop(name, (None, None))
            if extension is None or session is None:
                raise ValueError(f'{name} was not offered, or is accepted twice')
            if _bits(extension) & self.reserved:
                raise ValueError(f'{name} uses a reserved bit that another extension uses')
            if not self._is_activated(name, session, parameters):
                raise ValueError(f'the parameters of {name} do not match the offer')
            self._add(extension, session)
            agreed.append(serialize_extension(name, parameters))
        self._agree(agreed)

    @property
    def broadcast_key(self) -> Hashable:
        """A key that is equal for connections on which a message becomes equal bytes.

        ``None`` if that is unknown for one of the sessions.
        """
        keys = tuple([getattr(session, 'broadcast_key', None) for session in self._sessions])
        return None if None in keys else keys

    def process_incoming_message(self, message: Message) -> Message:
        """Undo the extensions on a message, the last one first.

        Raise ProtocolError on failure.
        """
        try:
            for session in reversed(self._sessions):
                message = calls.call(session.process_incoming_message, message)
            return _checked(message)
        except ProtocolError:
            raise
        except Exception as error:
            raise _failure('incoming', error) from error

    def process_outgoing_message(self, message: Message) -> Message:
        """Apply the extensions to a message, the first one first.

        Raise ExtensionFailure if one of them fails.
        """
        try:
            for session in self._sessions:
                message = calls.call(session.process_outgoing_message, message)
            return _checked(message)
        except Exception as error:
            raise _failure('outgoing', error) from error

    def close(self) -> None:
        """Close every session."""
        sessions, self._sessions = self._sessions, ()
        for session in sessions:
            try:
                session.close()
            except Exception:
                logger.exception('an extension failed to close')

    def _pairs(self) -> list[tuple[Extension, ClientSession]]:
        """Return the extensions that were offered, with their sessions."""
        return list(zip(self._extensions, self._sessions, strict=True))  # type: ignore[arg-type]

    def _is_activated(self, name: str, session: ClientSession, parameters: Parameters) -> bool:
        try:
            return session.activate(parameters)
        except Exception:
            logger.exception('the extension %s failed to activate', name)
            return False

    def _add(self, extension: Extension, session: Session) -> None:
        self._sessions += (session,)
        self.reserved |= _bits(extension)

    def _agree(self, agreed: list[str]) -> None:
        """End the negotiation, and release the objects that it needed."""
        self._extensions = ()
        header = ', '.join(agreed)
        # A string that is shared stays in memory after the connection has ended.
        self.header = _shared(header) if len(header) <= _LONGEST_SHARED else header


@lru_cache(maxsize=64)
def _shared(header: str) -> str:
    """Return one string for all connections that agree on these extensions."""
    return header


def _check(extensions: Iterable[Extension]) -> tuple[Extension, ...]:
    """Return the option as a tuple. Raise TypeError or ValueError if invalid."""
    names = set()
    checked = tuple(to_list('extensions', extensions, EXPECTED))
    for extension in checked:
        if isinstance(extension, type) or not all(
            hasattr(extension, attribute) for attribute in _ATTRIBUTES
        ):
            raise TypeError(
                f'extensions: expected objects such as PermessageDeflate(), got {extension!r}'
            )
        if not is_token(extension.name):
            raise ValueError(f'extensions: {extension.name!r} is not a valid name')
        if extension.name in names:
            raise ValueError(f'extensions: {extension.name} is given more than once')
        names.add(extension.name)
    return checked


def _checked(message: Message) -> Message:
    """Return a message that extensions have processed.

    Raise TypeError or AttributeError if it is not one.
    """
    if not isinstance(message.data, bytes):
        raise TypeError(f'data: expected bytes, got {message.data!r:.80}')
    return message


def _failure(direction: str, error: Exception) -> ExtensionFailure:
    """Log the exception of an extension, and return the error to raise."""
    logger.error('an extension failed to process an %s message', direction, exc_info=error)
    return ExtensionFailure('an extension failed')


def _bits(extension: Extension) -> int:
    """Return the sum of the reserved bits that an extension uses."""
    return extension.rsv1 * _RSV1 | extension.rsv2 * _RSV2 | extension.rsv3 * _RSV3
