"""permessage-deflate, RFC 7692: messages compressed with DEFLATE, at both ends.

``PermessageDeflate`` holds the options and negotiates. Its sessions compress what goes and inflate what comes. They make zlib's
objects when there is a first message to work on, and let them go when the connection is over: an idle connection has none, and
without context takeover none has.
"""

from __future__ import annotations

import sys
import zlib
from functools import lru_cache
from typing import Any, NamedTuple

from .header import Parameters, Value
from .inflater import Inflater
from .pipeline import Message

__all__ = ['PermessageDeflate']

_RSV1 = 0x40

# 7.1: the four parameters
_SERVER_NO_CONTEXT = 'server_no_context_takeover'
_CLIENT_NO_CONTEXT = 'client_no_context_takeover'
_SERVER_BITS = 'server_max_window_bits'
_CLIENT_BITS = 'client_max_window_bits'
_FLAGS = (_SERVER_NO_CONTEXT, _CLIENT_NO_CONTEXT)

# 7.1.2.1: "a decimal integer value without leading zeroes between 8 to 15, inclusive"
_WINDOW_BITS = {str(bits): bits for bits in range(8, 16)}
_MAX_BITS = 15
# zlib makes no raw deflater with a smaller window.
_LEAST_DEFLATER_BITS = 9

# 7.2.3.6: an empty block, for an empty message, of which zlib would make nothing.
_EMPTY = b'\x00'

# A message below this fits into one packet as it is, and is not worth the microseconds.
_THRESHOLD = 128


class PermessageDeflate:
    """The extension permessage-deflate, for the ``extensions`` option of a server's or a client's socket.

    - ``no_context_takeover``: compress each message by itself. It costs compression, and saves the memory of a deflater.
    - ``max_window_bits``: compress with a window of 2 to this power, 8 to 15 (the default).
    - ``request_no_context_takeover``, ``request_max_window_bits``: ask the same of the peer. A server that does not do what a
      client asks for is refused; a client that cannot do it is taken as it is.
    - ``level``: zlib's, from 0 (none) over 1 (fastest) to 9 (smallest); -1 is zlib's default.
    - ``mem_level``: zlib's, from 1 (least memory) to 9.
    - ``threshold``: messages of fewer bytes go uncompressed.

    Raises TypeError or ValueError for an option that cannot be, naming it.
    """

    __slots__ = (
        '_level',
        '_max_window_bits',
        '_mem_level',
        '_no_context_takeover',
        '_request_max_window_bits',
        '_request_no_context_takeover',
        '_threshold',
    )

    name = 'permessage-deflate'
    rsv1 = True
    rsv2 = rsv3 = False

    def __init__(
        self,
        *,
        no_context_takeover: bool = False,
        max_window_bits: int | None = None,
        request_no_context_takeover: bool = False,
        request_max_window_bits: int | None = None,
        level: int = zlib.Z_DEFAULT_COMPRESSION,
        mem_level: int = zlib.DEF_MEM_LEVEL,
        threshold: int = _THRESHOLD,
    ) -> None:
        self._no_context_takeover = _check_flag('no_context_takeover', no_context_takeover)
        self._max_window_bits = _check_bits('max_window_bits', max_window_bits)
        self._request_no_context_takeover = _check_flag('request_no_context_takeover', request_no_context_takeover)
        self._request_max_window_bits = _check_bits('request_max_window_bits', request_max_window_bits)
        self._level = _check_integer('level', level, -1, 9)
        self._mem_level = _check_integer('mem_level', mem_level, 1, 9)
        self._threshold = _check_integer('threshold', threshold, 0, sys.maxsize)

    def create_server_session(self, offers: list[Parameters]) -> _Session | None:
        """A session for the first offer that can be accepted (section 5.1: offers come "in order of preference")."""
        for offer in offers:
            agreement = self.accept_offer(offer)
            if agreement is not None:
                return _Session(agreement)
        return None

    def create_client_session(self) -> _ClientSession:
        """A session to offer."""
        return _ClientSession(self)

    def offer(self) -> Parameters:
        """What a client offers (section 7.1)."""
        own, peer = self._max_window_bits, self._request_max_window_bits
        return {
            _SERVER_NO_CONTEXT: self._request_no_context_takeover,
            _CLIENT_NO_CONTEXT: self._no_context_takeover,
            _SERVER_BITS: peer is not None and str(peer),
            # 7.1.2.2: without a value it says that the client can do what the server asks for.
            _CLIENT_BITS: own is None or str(own),
        }

    def accept_answer(self, answer: Parameters) -> _Agreement | None:
        """What follows from a server's answer to the offer; ``None`` when it is no answer to it (section 7.1)."""
        terms = _parse(answer)
        own, peer = self._max_window_bits or _MAX_BITS, self._request_max_window_bits or _MAX_BITS
        # 7.1.1.1 and 7.1.2.1: a server accepts what is asked of it by including the parameter, with "the same or smaller
        # value" (some leave out 15); 7.1.2.2: its value for the client is not larger than the one offered, and there is one.
        if (
            terms is None
            or (self._request_no_context_takeover and not terms.server_no_context)
            or (terms.server_bits or _MAX_BITS) > peer
            or not (terms.client_bits is None or 0 < terms.client_bits <= own)
        ):
            return None
        return self._agree(
            {},
            own_bits=terms.client_bits or own,
            own_context=not (terms.client_no_context or self._no_context_takeover),
            peer_bits=terms.server_bits or _MAX_BITS,
            peer_context=not terms.server_no_context,
        )

    def accept_offer(self, offer: Parameters) -> _Agreement | None:
        """What a server makes of an offer; ``None`` for one that it has to decline (section 7)."""
        terms, own, peer = _parse(offer), self._max_window_bits, self._request_max_window_bits
        if terms is None:
            return None
        own_bits = min(terms.server_bits or _MAX_BITS, own or _MAX_BITS)
        # 7.1.2.2: without the parameter in the offer the response "MUST NOT include" it, and the client is free.
        peer_bits = _MAX_BITS if terms.client_bits is None else min(terms.client_bits or _MAX_BITS, peer or _MAX_BITS)
        response: Parameters = {
            _SERVER_NO_CONTEXT: terms.server_no_context or self._no_context_takeover,
            _CLIENT_NO_CONTEXT: terms.client_no_context or self._request_no_context_takeover,
            _SERVER_BITS: bool(terms.server_bits or own) and str(own_bits),
            _CLIENT_BITS: bool(terms.client_bits or (peer and terms.client_bits is not None)) and str(peer_bits),
        }
        return self._agree(
            response,
            own_bits=own_bits,
            own_context=not response[_SERVER_NO_CONTEXT],
            peer_bits=peer_bits,
            peer_context=not response[_CLIENT_NO_CONTEXT],
        )

    def _agree(
        self, response: Parameters, *, own_bits: int, own_context: bool, peer_bits: int, peer_context: bool
    ) -> _Agreement:
        """One object for all connections on which the same is agreed."""
        deflater = _Deflater(own_bits, self._level, self._mem_level)
        parameters = tuple(response.items())
        return _shared(_Agreement(parameters, deflater, own_context, peer_bits, peer_context, self._threshold))

    def __repr__(self) -> str:
        return f'<PermessageDeflate level={self._level} mem_level={self._mem_level} threshold={self._threshold}>'


class _Terms(NamedTuple):
    """The parameters of an offer or an answer. Bits are ``None`` where they are not there, 0 where they have no value."""

    server_no_context: bool
    client_no_context: bool
    server_bits: int | None
    client_bits: int | None


def _parse(parameters: Parameters) -> _Terms | None:
    """The terms; ``None`` for parameters that are unknown, repeated or have a value that they cannot have (section 7.1)."""
    server_bits = _parse_bits(parameters.get(_SERVER_BITS))
    client_bits = 0 if parameters.get(_CLIENT_BITS) is True else _parse_bits(parameters.get(_CLIENT_BITS))
    for name, value in parameters.items():
        is_right = {_SERVER_BITS: server_bits is not None, _CLIENT_BITS: client_bits is not None}
        if not is_right.get(name, name in _FLAGS and value is True):
            return None
    return _Terms(_SERVER_NO_CONTEXT in parameters, _CLIENT_NO_CONTEXT in parameters, server_bits, client_bits)


def _parse_bits(value: Any) -> int | None:
    """The number that a parameter's value states, if it does."""
    return _WINDOW_BITS.get(value) if isinstance(value, str) else None


class _Deflater(NamedTuple):
    """How to make a deflater."""

    bits: int
    level: int
    mem_level: int

    def make(self) -> zlib._Compress:
        """A new one."""
        bits, strategy = self.bits, zlib.Z_DEFAULT_STRATEGY
        if bits < _LEAST_DEFLATER_BITS:
            # Looking for runs only, zlib never refers back further than one octet, and needs no window at all.
            bits, strategy = _LEAST_DEFLATER_BITS, zlib.Z_RLE
        return zlib.compressobj(self.level, zlib.DEFLATED, -bits, self.mem_level, strategy)


class _Agreement(NamedTuple):
    """What was agreed on, as it concerns this end and the peer."""

    response: tuple[tuple[str, Value | list[Value]], ...]
    deflater: _Deflater
    own_context: bool
    peer_bits: int
    peer_context: bool
    threshold: int


@lru_cache(maxsize=64)
def _shared(agreement: _Agreement) -> _Agreement:
    """One object for all that are equal."""
    return agreement


# Deflaters that begin each message with an empty window, for all connections: a new one costs 60 us, which is more than it
# takes to compress a small message. Taking one out of the list, and putting it back, is safe in any number of OS threads.
_idle_deflaters: dict[_Deflater, list[zlib._Compress]] = {}


class _Session:
    """permessage-deflate at work on one connection, at the server's end."""

    __slots__ = ('_agreement', '_deflater', '_inflater')

    def __init__(self, agreement: _Agreement) -> None:
        self._agreement = agreement
        self._deflater: zlib._Compress | None = None
        self._inflater: Inflater | None = None

    @property
    def broadcast_key(self) -> tuple[_Deflater, int] | None:
        """Without context takeover a message is compressed to the same octets on every connection with these parameters."""
        agreement = self._agreement
        return None if agreement.own_context else (agreement.deflater, agreement.threshold)

    def generate_response(self) -> Parameters:
        """The parameters that the server agrees to."""
        return dict(self._agreement.response)

    def process_outgoing_message(self, message: Message) -> Message:
        """Section 7.2.1: compresses a message that is worth it."""
        data = message.data
        if len(data) >= self._agreement.threshold:
            message.data = self._deflate(data) if data else _EMPTY
            message.rsv |= _RSV1
        return message

    def process_incoming_message(self, message: Message) -> Message:
        """Section 7.2.2: inflates a message that says it is compressed."""
        if message.rsv & _RSV1:
            message.data = self._inflate(message.data, message.max_length)
            message.rsv &= ~_RSV1
        return message

    def close(self) -> None:
        """Lets zlib's objects go."""
        self._deflater = self._inflater = None

    def _deflate(self, data: bytes) -> bytes:
        agreement = self._agreement
        if agreement.own_context:
            deflater = self._deflater
            if deflater is None:
                deflater = self._deflater = agreement.deflater.make()
            # 7.2.1: "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end."
            return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        idle = _idle_deflaters.setdefault(agreement.deflater, [])
        try:
            deflater = idle.pop()
        except IndexError:
            deflater = agreement.deflater.make()
        # zlib: "the compression state is reset", so that nothing refers to what went before.
        compressed = deflater.compress(data) + deflater.flush(zlib.Z_FULL_FLUSH)
        idle.append(deflater)
        return compressed[:-4]

    def _inflate(self, data: bytes, max_length: int) -> bytes:
        agreement = self._agreement
        if agreement.peer_context:
            inflater = self._inflater
            if inflater is None:
                inflater = self._inflater = Inflater(agreement.peer_bits)
            return inflater.inflate(data, max_length)
        # Never one that served somebody else, whose messages would be in its window for this peer to refer to.
        inflater = Inflater(agreement.peer_bits)
        message = inflater.inflate(data, max_length)
        inflater.check_end()
        return message


class _ClientSession(_Session):
    """The same at the client's end, where it has an agreement once the server has answered."""

    __slots__ = ('_extension',)

    _agreement: _Agreement

    def __init__(self, extension: PermessageDeflate) -> None:
        self._extension = extension
        self._deflater = self._inflater = None

    def generate_offer(self) -> Parameters:
        """The parameters to offer."""
        return self._extension.offer()

    def activate(self, parameters: Parameters) -> bool:
        """Takes the server's answer; False when it is none to the offer."""
        agreement = self._extension.accept_answer(parameters)
        if agreement is not None:
            self._agreement = agreement
        return agreement is not None


def _check_flag(name: str, value: object) -> bool:
    """Refuses what is not a bool."""
    if not isinstance(value, bool):
        raise TypeError(f'{name}: expected True or False, got {value!r}')
    return value


def _check_bits(name: str, value: int | None) -> int | None:
    """Refuses what is neither ``None`` nor a size of a window."""
    return None if value is None else _check_integer(name, value, 8, _MAX_BITS)


def _check_integer(name: str, value: int, least: int, most: int) -> int:
    """Refuses what is not an integer within the limits."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f'{name}: expected an integer, got {value!r}')
    if not least <= value <= most:
        raise ValueError(f'{name}: expected {least} to {most}, got {value!r}')
    return value
