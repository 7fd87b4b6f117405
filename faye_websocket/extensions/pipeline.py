"""The extensions of one connection: negotiation, and the way of every message through them.

An extension sees messages and reserved bits, never frames. Its objects keep the names of Ruby's and Node's
websocket-extensions, so that what was written for those is quickly carried over. The package's docstring has their interface.

What the peer does wrong is a ValueError while negotiating and a ProtocolError afterwards. What an extension does wrong, by
raising anything else, is logged: it is not agreed on, or fails the connection with 1011. Nothing else is ever raised.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Hashable, Iterable
from functools import lru_cache
from typing import Protocol

from .. import calls
from ..errors import ExtensionFailure, ProtocolError
from ..http.head import is_token
from .header import Parameters, parse_extensions, serialize_extension

__all__ = ['ClientSession', 'Extension', 'Message', 'Pipeline', 'ServerSession', 'Session']

logger = logging.getLogger('faye_websocket')

_RSV1, _RSV2, _RSV3 = 0x40, 0x20, 0x10
# All parameters of permessage-deflate take 127 characters.
_LONGEST_SHARED = 256
_ATTRIBUTES = ('name', 'rsv1', 'rsv2', 'rsv3')


class Message:
    """What an extension sees and may change: ``data`` (bytes), ``opcode``, and ``rsv``, a sum of the reserved bits.

    An incoming one must not become longer than ``max_length``: stop with MessageTooBig while it grows, not after it has grown.
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
    """An extension at work on one connection.

    One that may have an attribute ``broadcast_key`` makes the same of a message as every other with an equal key does, and
    ``broadcast`` has one of them work for all; ``None`` says that this one's work depends on what went before.
    """

    def process_incoming_message(self, message: Message) -> Message:
        """Undoes what the peer's session did. Raises ProtocolError for a message that cannot be undone."""

    def process_outgoing_message(self, message: Message) -> Message:
        """Does its work on a message before it is framed."""

    def close(self) -> None:
        """The connection is over."""


class ServerSession(Session, Protocol):
    """A session of the server's."""

    def generate_response(self) -> Parameters:
        """The parameters that the server agrees to."""


class ClientSession(Session, Protocol):
    """A session of the client's."""

    def generate_offer(self) -> Parameters | list[Parameters]:
        """The parameters to offer, or several of them, best first."""

    def activate(self, parameters: Parameters) -> bool:
        """Takes the server's parameters; False when they are no answer to the offer."""


class Extension(Protocol):
    """What the ``extensions`` option takes: a ``name``, the reserved bits it uses, and a maker of sessions."""

    name: str
    rsv1: bool
    rsv2: bool
    rsv3: bool

    def create_client_session(self) -> ClientSession | None:
        """A session to offer to a server, or ``None`` to offer nothing."""

    def create_server_session(self, offers: list[Parameters]) -> ServerSession | None:
        """A session for the best of a client's offers, or ``None`` to decline them all."""


class Pipeline:
    """The extensions agreed on: ``header`` states them, ``reserved`` is the sum of the reserved bits they use.

    A server calls ``generate_response`` once; a client ``generate_offer``, and ``activate`` with the answer. Raises TypeError
    or ValueError for what are no extensions.
    """

    __slots__ = ('_extensions', '_sessions', 'header', 'reserved')

    def __init__(self, extensions: Iterable[Extension]) -> None:
        self._extensions = _check(extensions)
        self._sessions: tuple[Session, ...] = ()
        self.header = ''
        self.reserved = 0

    def generate_response(self, header: str) -> str:
        """Makes a session for each extension that the client offers and that can be agreed on; answers the header.

        Raises ValueError for a malformed offer.
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
        """Makes a session for each extension; answers the header that offers them."""
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
        """Takes a server's answer to the offer. Raises ValueError for one that the offer does not allow."""
        waiting = {extension.name: (extension, session) for extension, session in self._pairs()}
        self._sessions, agreed = (), []
        for name, parameters in parse_extensions(header):
            # 9.1: the server "MUST NOT" answer with what was not offered, and so with nothing twice
            extension, session = waiting.pop(name, (None, None))
            if extension is None or session is None:
                raise ValueError(f'{name} was not offered, or is answered twice')
            if _bits(extension) & self.reserved:
                raise ValueError(f'{name} uses a reserved bit that another extension uses')
            if not self._is_activated(name, session, parameters):
                raise ValueError(f'the parameters of {name} are not what was offered')
            self._add(extension, session)
            agreed.append(serialize_extension(name, parameters))
        self._agree(agreed)

    @property
    def broadcast_key(self) -> Hashable:
        """Equal for connections on which a message becomes the same; ``None`` where nothing can be said of that."""
        keys = tuple([getattr(session, 'broadcast_key', None) for session in self._sessions])
        return None if None in keys else keys

    def process_incoming_message(self, message: Message) -> Message:
        """Undoes the extensions, last one first. Raises ProtocolError."""
        try:
            for session in reversed(self._sessions):
                message = calls.call(session.process_incoming_message, message)
            return _checked(message)
        except ProtocolError:
            raise
        except Exception as error:
            raise _failure('undo', error) from error

    def process_outgoing_message(self, message: Message) -> Message:
        """Applies the extensions, first one first. Raises ExtensionFailure."""
        try:
            for session in self._sessions:
                message = calls.call(session.process_outgoing_message, message)
            return _checked(message)
        except Exception as error:
            raise _failure('do', error) from error

    def close(self) -> None:
        """Ends every session."""
        sessions, self._sessions = self._sessions, ()
        for session in sessions:
            try:
                session.close()
            except Exception:
                logger.exception('an extension failed to close')

    def _pairs(self) -> list[tuple[Extension, ClientSession]]:
        """The extensions that were offered, with their sessions."""
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
        """Negotiation is over: its parts are let go."""
        self._extensions = ()
        header = ', '.join(agreed)
        # What is shared outlives the connection.
        self.header = _shared(header) if len(header) <= _LONGEST_SHARED else header


@lru_cache(maxsize=64)
def _shared(header: str) -> str:
    """One string for all connections that agree on the same."""
    return header


def _check(extensions: Iterable[Extension]) -> tuple[Extension, ...]:
    """The option as a tuple. Raises TypeError or ValueError, naming it."""
    names = set()
    checked = tuple(extensions)
    for extension in checked:
        if isinstance(extension, type) or not all(hasattr(extension, attribute) for attribute in _ATTRIBUTES):
            raise TypeError(f'extensions: expected objects such as PermessageDeflate(), got {extension!r}')
        if not is_token(extension.name):
            raise ValueError(f'extensions: {extension.name!r} is not a name')
        if extension.name in names:
            raise ValueError(f'extensions: {extension.name} is there more than once')
        names.add(extension.name)
    return checked


def _checked(message: Message) -> Message:
    """A message that went through extensions of whatever quality. Raises TypeError or AttributeError."""
    if not isinstance(message.data, bytes):
        raise TypeError(f'data: expected bytes, got {message.data!r:.80}')
    return message


def _failure(what: str, error: Exception) -> ExtensionFailure:
    """Logs what an extension raised."""
    logger.error('an extension failed to %s its work on a message', what, exc_info=error)
    return ExtensionFailure('an extension failed')


def _bits(extension: Extension) -> int:
    """The reserved bits that an extension uses."""
    return extension.rsv1 * _RSV1 | extension.rsv2 * _RSV2 | extension.rsv3 * _RSV3
