"""The extensions of one connection: negotiation, and the way of every message through them.

An extension sees messages and reserved bits, never frames. Its objects keep the names of Ruby's and Node's
websocket-extensions, so that what was written for those is quickly carried over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from .header import Parameters, serialize_extension

__all__ = ['Extension', 'Message', 'Pipeline', 'Session']

_RSV1, _RSV2, _RSV3 = 0x40, 0x20, 0x10


class Message:
    """What an extension sees and may change: ``data`` (bytes), ``opcode``, and ``rsv``, a sum of the reserved bits."""

    __slots__ = ('data', 'opcode', 'rsv')

    def __init__(self, opcode: int, data: bytes, rsv: int) -> None:
        self.opcode = opcode
        self.data = data
        self.rsv = rsv

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
    """An extension at work on one connection."""

    def generate_response(self) -> Parameters:
        """The parameters a server agrees to."""

    def process_incoming_message(self, message: Message) -> Message:
        """Undoes what the peer's session did. Raises ProtocolError for a message that cannot be undone."""

    def process_outgoing_message(self, message: Message) -> Message:
        """Does its work on a message before it is framed."""

    def close(self) -> None:
        """The connection is over."""


class Extension(Protocol):
    """What the ``extensions`` option takes: a ``name``, the reserved bits it uses, and a maker of sessions."""

    name: str
    rsv1: bool
    rsv2: bool
    rsv3: bool

    def create_server_session(self, offers: list[Parameters]) -> Session | None:
        """A session for the best of a client's offers, or ``None`` to decline them all."""


class Pipeline:
    """The extensions agreed on: ``header`` states them, ``reserved`` is the sum of the reserved bits they use."""

    __slots__ = ('_extensions', '_sessions', 'header', 'reserved')

    def __init__(self, extensions: Iterable[Extension]) -> None:
        self._extensions = tuple(extensions)
        self._sessions: list[Session] = []
        self.header = ''
        self.reserved = 0

    def negotiate(self, offers: list[tuple[str, Parameters]]) -> None:
        """Makes a session for each extension that the client offers and that can be agreed on."""
        agreed = []
        for extension in self._extensions:
            mine = [parameters for name, parameters in offers if name == extension.name]
            bits = _bits(extension)
            # 9.1: two extensions cannot use one reserved bit
            session = extension.create_server_session(mine) if mine and not bits & self.reserved else None
            if session is not None:
                self._sessions.append(session)
                self.reserved |= bits
                agreed.append(serialize_extension(extension.name, session.generate_response()))
        self.header = ', '.join(agreed)

    def process_incoming_message(self, message: Message) -> Message:
        """Undoes the extensions, last one first."""
        for session in reversed(self._sessions):
            message = session.process_incoming_message(message)
        return message

    def process_outgoing_message(self, message: Message) -> Message:
        """Applies the extensions, first one first."""
        for session in self._sessions:
            message = session.process_outgoing_message(message)
        return message

    def close(self) -> None:
        """Ends every session."""
        for session in self._sessions:
            session.close()
        self._sessions = []


def _bits(extension: Extension) -> int:
    """The reserved bits that an extension uses."""
    return extension.rsv1 * _RSV1 | extension.rsv2 * _RSV2 | extension.rsv3 * _RSV3
