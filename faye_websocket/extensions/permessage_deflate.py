"""permessage-deflate (RFC 7692): messages compressed with DEFLATE.

``PermessageDeflate`` holds the options and negotiates. Its sessions compress outgoing
messages and inflate incoming ones. They make zlib's objects for the first message and
release them when the connection ends, so that a connection without messages has none.
Without context takeover, no connection has any between two messages.
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
# 7.1.2.1: without the parameter, or a value, the window has 32,768 bytes: 15 bits.
_MAX_BITS = 15
# zlib makes no raw deflater with a smaller window.
_LEAST_DEFLATER_BITS = 9
# zlib's Z_RLE, a name that PyPy does not have.
_RUNS_ONLY = 3

# 7.2.3.6: an empty block stands for an empty message; zlib returns no bytes for it.
_EMPTY = b'\x00'

# A shorter message fits into one packet as it is, and compressing it would only cost
# time.
_THRESHOLD = 128


class PermessageDeflate:
    """The extension permessage-deflate, RFC 7692.

    Pass one in the ``extensions`` option of a WebSocket or Client. Its options are:

    - ``no_context_takeover`` (bool, False): compress each message by itself.
      Compression gets worse, and the connection needs no memory for a deflater.
    - ``max_window_bits`` (8 to 15, default 15): compress with a window of 2 to this
      power, in bytes.
    - ``request_no_context_takeover``, ``request_max_window_bits``: ask the peer for
      these settings. A client fails the connection if the server does not comply. A
      server accepts a client that cannot comply.
    - ``level`` (-1 to 9): zlib's compression level, from 0 (none) over 1 (fastest) to 9
      (smallest); -1 is zlib's default.
    - ``mem_level`` (1 to 9): zlib's memory level, from 1 (least memory) to 9.
    - ``threshold`` (bytes, default 128): send shorter messages uncompressed.

    Raise TypeError or ValueError for an invalid option, with its name.
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
        self._request_no_context_takeover = _check_flag(
            'request_no_context_takeover', request_no_context_takeover
        )
        self._request_max_window_bits = _check_bits(
            'request_max_window_bits', request_max_window_bits
        )
        self._level = _check_integer('level', level, -1, 9)
        self._mem_level = _check_integer('mem_level', mem_level, 1, 9)
        self._threshold = _check_integer('threshold', threshold, 0, sys.maxsize)

    def create_server_session(self, offers: list[Parameters]) -> _Session | None:
        """Return a session for the first acceptable offer, or None if there is none.

        Section 5.1: offers are made "in order of preference".
        """
        for offer in offers:
            agreement = self.accept_offer(offer)
            if agreement is not None:
                return _Session(agreement)
        return None

    def create_client_session(self) -> _ClientSession:
        """Return a session that makes an offer."""
        return _ClientSession(self)

    def offer(self) -> Parameters:
        """Return the parameters that a client offers (section 7.1)."""
        own, peer = self._max_window_bits, self._request_max_window_bits
        return {
            _SERVER_NO_CONTEXT: self._request_no_context_takeover,
            _CLIENT_NO_CONTEXT: self._no_context_takeover,
            _SERVER_BITS: peer is not None and str(peer),
            # 7.1.2.2: without a value it says that the client supports the parameter.
            _CLIENT_BITS: own is None or str(own),
        }

    def accept_answer(self, answer: Parameters) -> _Agreement | None:
        """Return the agreement by a server's response to the offer (section 7.1).

        Return None if the response does not match the offer.
        """
        terms = _parse(answer)
        if terms is None:
            return None
        own = _effective_bits(self._max_window_bits)
        peer = _effective_bits(self._request_max_window_bits)
        server_bits = _effective_bits(terms.server_bits)
        # 7.1.1.1 and 7.1.2.1: a server accepts a request by including the parameter,
        # with "the same or smaller value" (some servers leave out 15). 7.1.2.2: its
        # value for the client must be there, and must not be larger than the one
        # offered.
        if (
            (self._request_no_context_takeover and not terms.server_no_context)
            or server_bits > peer
            or not (terms.client_bits is None or 0 < terms.client_bits <= own)
        ):
            return None
        return self._agree(
            {},
            own_bits=terms.client_bits or own,
            own_context=not (terms.client_no_context or self._no_context_takeover),
            peer_bits=server_bits,
            peer_context=not terms.server_no_context,
        )

    def accept_offer(self, offer: Parameters) -> _Agreement | None:
        """Return the agreement that a server makes of an offer (section 7).

        Return None if it must decline the offer.
        """
        terms, own, peer = _parse(offer), self._max_window_bits, self._request_max_window_bits
        if terms is None:
            return None
        own_bits = min(_effective_bits(terms.server_bits), _effective_bits(own))
        # 7.1.2.2: if the offer lacks the parameter, the response "MUST NOT include" it,
        # and the client may use any window.
        peer_bits = _MAX_BITS
        if terms.client_bits is not None:
            peer_bits = min(_effective_bits(terms.client_bits), _effective_bits(peer))
        response: Parameters = {
            _SERVER_NO_CONTEXT: terms.server_no_context or self._no_context_takeover,
            _CLIENT_NO_CONTEXT: terms.client_no_context or self._request_no_context_takeover,
            _SERVER_BITS: bool(terms.server_bits or own) and str(own_bits),
            _CLIENT_BITS: bool(terms.client_bits or (peer and terms.client_bits is not None))
            and str(peer_bits),
        }
        return self._agree(
            response,
            own_bits=own_bits,
            own_context=not response[_SERVER_NO_CONTEXT],
            peer_bits=peer_bits,
            peer_context=not response[_CLIENT_NO_CONTEXT],
        )

    def _agree(
        self,
        response: Parameters,
        *,
        own_bits: int,
        own_context: bool,
        peer_bits: int,
        peer_context: bool,
    ) -> _Agreement:
        """Return the agreement, one object for all connections with equal ones."""
        deflater = _Deflater(own_bits, self._level, self._mem_level)
        parameters = tuple(response.items())
        return _shared(
            _Agreement(parameters, deflater, own_context, peer_bits, peer_context, self._threshold)
        )

    def __repr__(self) -> str:
        return f'<PermessageDeflate level={self._level} mem_level={self._mem_level} threshold={self._threshold}>'


class _Terms(NamedTuple):
    """The parameters of an offer or a response.

    The window bits are ``None`` if the parameter is absent, and 0 if it has no value.
    """

    server_no_context: bool
    client_no_context: bool
    server_bits: int | None
    client_bits: int | None


def _parse(parameters: Parameters) -> _Terms | None:
    """Return the terms that the parameters state (section 7.1).

    Return None if a parameter is unknown, repeated, or has an invalid value.
    """
    server_bits = _parse_bits(parameters.get(_SERVER_BITS))
    client_bits = (
        0 if parameters.get(_CLIENT_BITS) is True else _parse_bits(parameters.get(_CLIENT_BITS))
    )
    for name, value in parameters.items():
        is_right = {_SERVER_BITS: server_bits is not None, _CLIENT_BITS: client_bits is not None}
        if not is_right.get(name, name in _FLAGS and value is True):
            return None
    return _Terms(
        _SERVER_NO_CONTEXT in parameters, _CLIENT_NO_CONTEXT in parameters, server_bits, client_bits
    )


def _parse_bits(value: Any) -> int | None:
    """Return the number that a parameter's value states, or None if it is invalid."""
    return _WINDOW_BITS.get(value) if isinstance(value, str) else None


def _effective_bits(bits: int | None) -> int:
    """Return the window bits to use: 15 if the parameter or option states no number."""
    return bits or _MAX_BITS


class _Deflater(NamedTuple):
    """The settings of a deflater."""

    bits: int
    level: int
    mem_level: int

    def make(self) -> zlib._Compress:
        """Return a new zlib object with these settings."""
        bits, strategy = self.bits, zlib.Z_DEFAULT_STRATEGY
        if bits < _LEAST_DEFLATER_BITS:
            # With this strategy zlib looks for runs only. It never refers back further
            # than one byte, so that any window is large enough.
            bits, strategy = _LEAST_DEFLATER_BITS, _RUNS_ONLY
        return zlib.compressobj(self.level, zlib.DEFLATED, -bits, self.mem_level, strategy)


class _Agreement(NamedTuple):
    """The parameters agreed on, as they concern this end and the peer."""

    response: tuple[tuple[str, Value | list[Value]], ...]
    deflater: _Deflater
    own_context: bool
    peer_bits: int
    peer_context: bool
    threshold: int


@lru_cache(maxsize=64)
def _shared(agreement: _Agreement) -> _Agreement:
    """Return one object for all equal agreements."""
    return agreement


# Deflaters that begin each message with an empty window, shared by all connections. A
# new one costs 60 us, more than it takes to compress a small message. Taking one out of
# the list and putting it back is safe in any number of OS threads.
_idle_deflaters: dict[_Deflater, list[zlib._Compress]] = {}


class _Session:
    """permessage-deflate on one connection, at the server's end."""

    __slots__ = ('_agreement', '_deflater', '_inflater')

    def __init__(self, agreement: _Agreement) -> None:
        self._agreement = agreement
        self._deflater: zlib._Compress | None = None
        self._inflater: Inflater | None = None

    @property
    def broadcast_key(self) -> tuple[_Deflater, int] | None:
        """A key that is equal for sessions which compress every message to equal bytes.

        ``None`` with context takeover, since then the bytes depend on the messages
        before.
        """
        agreement = self._agreement
        return None if agreement.own_context else (agreement.deflater, agreement.threshold)

    def generate_response(self) -> Parameters:
        """Return the parameters that the server agrees to."""
        return dict(self._agreement.response)

    def process_outgoing_message(self, message: Message) -> Message:
        """Compress a message that is not shorter than the threshold (section 7.2.1)."""
        data = message.data
        if len(data) >= self._agreement.threshold:
            message.data = self._deflate(data) if data else _EMPTY
            message.rsv |= _RSV1
        return message

    def process_incoming_message(self, message: Message) -> Message:
        """Inflate a message that is marked as compressed (section 7.2.2)."""
        if message.rsv & _RSV1:
            message.data = self._inflate(message.data, message.max_length)
            message.rsv &= ~_RSV1
        return message

    def close(self) -> None:
        """Release zlib's objects."""
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
        # zlib: "the compression state is reset", so that nothing refers to the messages
        # before.
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
        # Use a new inflater. One that was used for another connection would have that
        # connection's messages in its window, and this peer could read them by
        # references.
        inflater = Inflater(agreement.peer_bits)
        message = inflater.inflate(data, max_length)
        inflater.check_end()
        return message


class _ClientSession(_Session):
    """permessage-deflate on one connection, at the client's end.

    It has an agreement once the server has responded.
    """

    __slots__ = ('_extension',)

    _agreement: _Agreement

    def __init__(self, extension: PermessageDeflate) -> None:
        self._extension = extension
        self._deflater = self._inflater = None

    def generate_offer(self) -> Parameters:
        """Return the parameters to offer."""
        return self._extension.offer()

    def activate(self, parameters: Parameters) -> bool:
        """Accept the parameters of the server's response.

        Return False if they do not match the offer.
        """
        agreement = self._extension.accept_answer(parameters)
        if agreement is not None:
            self._agreement = agreement
        return agreement is not None


def _check_flag(name: str, value: object) -> bool:
    """Return the option. Raise TypeError unless it is a bool."""
    if not isinstance(value, bool):
        raise TypeError(f'{name}: expected True or False, got {value!r}')
    return value


def _check_bits(name: str, value: int | None) -> int | None:
    """Return the option.

    Raise TypeError or ValueError unless it is None or a window size.
    """
    return None if value is None else _check_integer(name, value, 8, _MAX_BITS)


def _check_integer(name: str, value: int, least: int, most: int) -> int:
    """Return the option. Raise TypeError or ValueError if it is out of range."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f'{name}: expected an integer, got {value!r}')
    if not least <= value <= most:
        raise ValueError(f'{name}: expected {least} to {most}, got {value!r}')
    return value
