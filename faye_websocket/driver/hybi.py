"""hybi-07 to RFC 6455: messages, control frames and the closing handshake, on top of the codec's frames.

In go the bytes of the wire, out come ``message``, ``ping``, ``pong`` and ``close``. What the peer does wrong becomes a close
frame with the code that says so (section 7.4.1), an ``error`` and a ``close``, and nothing after them.
"""

from __future__ import annotations

import binascii
import hashlib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import HandshakeError, InvalidData, MessageTooBig, ProtocolError
from ..extensions.header import parse_extensions
from ..extensions.pipeline import Extension, Message, Pipeline
from ..http.head import HeaderList, serialize_head, tokens
from .base import CLOSED, CLOSING, CONNECTING, MAX_FRAGMENTS, OPEN, Driver, ServerIO, SharedMessage
from .codec import Frame, FrameParser, serialize_frame, serialize_frame_head, serialize_text
from .codes import Opcode
from .control_frames import close_payload, control_payload, parse_close
from .incoming_message import IncomingMessage
from .text import encode_text

__all__ = ['VERSIONS', 'Hybi', 'accept_key']

# Looking these up in their class took 4 % of the time of a message.
TEXT, BINARY = Opcode.TEXT, Opcode.BINARY
CLOSE, PING, PONG = Opcode.CLOSE, Opcode.PING, Opcode.PONG

# Section 1.3
_GUID = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
# Sixteen bytes in base64: "a base64-encoded value that, when decoded, is 16 bytes in length" (section 4.1)
_KEY = re.compile(r'[A-Za-z0-9+/]{22}==')
# From so many bytes on, a message to be sent is not copied behind its head.
_LARGE_MESSAGE = 16384

# For every first byte whether it is that of an only frame: fin, text or binary, and reserved bits, which the parser has checked
_IS_WHOLE = bytes(first_byte & 0x80 != 0 and first_byte & 0x0F in (TEXT, BINARY) for first_byte in range(256))

# The value of Sec-WebSocket-Version, best first, and the version's name here; hybi-08 to hybi-12 all sent 8.
VERSIONS = {'13': 'hybi-13', '8': 'hybi-08', '7': 'hybi-07'}


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (section 4.2.2)."""
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False).decode()


class Hybi(Driver):
    """The server's end of a connection in one of VERSIONS."""

    __slots__ = (
        '_extensions',
        '_incoming',
        '_parser',
        '_pings',
        '_reason',
        'max_fragments',
        'version',
    )

    can_ping = True

    def __init__(
        self,
        io: ServerIO,
        protocols: Iterable[str] = (),
        *,
        max_fragments: int = MAX_FRAGMENTS,
        extensions: Iterable[Extension] = (),
        **options: Any,
    ) -> None:
        super().__init__(io, protocols, **options)
        self.version = VERSIONS.get(_find_version(io.environ) or '', 'hybi-13')
        self.max_fragments = int(min(max_fragments, sys.maxsize))
        self._extensions = Pipeline(extensions) if extensions else None
        self._parser = FrameParser(masked=not self.is_client)
        self._incoming: IncomingMessage | None = None
        self._pings: list[tuple[bytes, Callable[[], object]]] | None = None
        self._reason = ''

    # ---- the opening handshake, section 4.2

    @property
    def extensions(self) -> str:
        """The extensions agreed on, as the Sec-WebSocket-Extensions header states them; ``''`` for none."""
        return self._extensions.header if self._extensions is not None else ''

    def check(self) -> None:
        """Raises HandshakeError when the request must be refused. Pure."""
        super().check()
        environ = self._environ
        version = _find_version(environ)
        if version not in VERSIONS:
            # 4.4: "the server MUST respond with one or more |Sec-WebSocket-Version| header fields" that it supports
            supported = ('Sec-WebSocket-Version', ', '.join(VERSIONS))
            raise HandshakeError('426 Upgrade Required', f'version {version!r} is not supported', (supported,))
        if not _KEY.fullmatch(environ.get('HTTP_SEC_WEBSOCKET_KEY', '')):
            raise HandshakeError('400 Bad Request', 'Sec-WebSocket-Key is not sixteen bytes in base64')
        offers = environ.get('HTTP_SEC_WEBSOCKET_EXTENSIONS')
        if offers:
            try:
                parse_extensions(offers)
            except ValueError as error:
                raise HandshakeError('400 Bad Request', str(error)) from None

    def _response(self) -> bytes:
        """Section 4.2.2: the response that accepts the handshake."""
        self._negotiate()
        headers: HeaderList = [
            ('Upgrade', 'websocket'),
            ('Connection', 'Upgrade'),
            ('Sec-WebSocket-Accept', accept_key(self._environ['HTTP_SEC_WEBSOCKET_KEY'])),
        ]
        if self.protocol:
            headers.append(('Sec-WebSocket-Protocol', self.protocol))
        if self.extensions:
            headers.append(('Sec-WebSocket-Extensions', self.extensions))
        return serialize_head('HTTP/1.1 101 Switching Protocols', headers + self._headers)

    def _negotiate(self) -> None:
        """Section 9: agrees on extensions, with a client that offers one of ours."""
        if self._extensions is not None:
            self._extensions.generate_response(self._environ.get('HTTP_SEC_WEBSOCKET_EXTENSIONS', ''))
            self._agree(self._extensions)

    def _agree(self, extensions: Pipeline) -> None:
        """Negotiation is over: what is in use from now on."""
        self._parser.reserve(extensions.reserved)
        self._extensions = extensions if extensions.header else None

    # ---- receiving, sections 5.4 to 5.6

    def parse(self, chunk: bytes) -> None:
        """Takes the next bytes of the wire."""
        if self.ready_state in (CONNECTING, CLOSED):
            return
        parser = self._parser
        parser.feed(chunk)
        # What listeners raise must not be taken for the peer's fault, so nothing is emitted within the "try".
        while self.ready_state != CLOSED and not self.is_paused:
            try:
                frame = parser.next_frame()
                if frame is None:
                    break
                opcode = frame.opcode
                if opcode < CLOSE:
                    message = self._receive_data(frame)
                elif opcode == CLOSE:
                    code, reason = parse_close(frame.payload)
            except ProtocolError as error:
                self.emit('ending')
                self._fail(error.code, _forgetful(error))
                break
            if opcode < CLOSE:
                if message is not None:
                    self.emit_message(message)
            elif opcode == CLOSE:
                self._receive_close(code, reason)
            elif opcode == PING:
                self._receive_ping(frame.payload)
            else:
                self._receive_pong(frame.payload)

    def _receive_data(self, frame: Frame) -> str | bytes | None:
        """A data frame, or a part of one; answers the message that it completes."""
        if (
            _IS_WHOLE[frame.first_byte]
            and frame.is_first
            and frame.is_last
            and self._incoming is None
            and frame.length <= self.max_length
        ):
            # Nearly every message is one frame that came in one read. It saves 0.5 us by taking this way, past the bookkeeping.
            if self._extensions is None:
                return _decode(frame.opcode, frame.payload)
            return self._undo_extensions(frame.opcode, frame.payload, frame.rsv)
        message = self._incoming
        if message is None:
            message = self._incoming = IncomingMessage(self.max_length, self.max_fragments)
        if frame.is_first:
            message.begin_frame(frame)
        is_end = frame.is_last and frame.fin
        message.add(frame.payload, is_end)
        if not is_end:
            return None
        self._incoming = None
        if self._extensions is None:
            return _decode(message.opcode, message.data())
        return self._undo_extensions(message.opcode, message.data(), message.rsv)

    def _undo_extensions(self, opcode: int, data: bytes, rsv: int) -> str | bytes:
        """What the extensions make of a message: its data, as the application sees it."""
        assert self._extensions is not None
        message = self._extensions.process_incoming_message(Message(opcode, data, rsv, self.max_length))
        if len(message.data) > self.max_length:
            raise MessageTooBig(f'message too big: {len(message.data)} > {self.max_length}')
        return _decode(opcode, message.data)

    def _receive_ping(self, payload: bytes) -> None:
        # 5.5.2: "an endpoint MUST send a Pong frame in response, unless it already
        # received a Close frame", with which parsing ends. Our own close frame is no
        # such exception. 5.5.3: an endpoint may "send a Pong frame for only the most
        # recently processed Ping frame".
        self._write_urgent(PONG, payload, 'pong')
        self.emit('ping', payload)

    def _receive_pong(self, payload: bytes) -> None:
        """The pong of the first ping with this payload; a peer may pass over the pings before it (5.5.3)."""
        pings = self._pings or []
        for index, (message, callback) in enumerate(pings):
            if message == payload:
                self._pings = pings[index + 1:] or None
                callback()
                break
        self.emit('pong', payload)

    def _receive_close(self, code: int, reason: str) -> None:
        """Section 5.5.1: the peer closes, or answers our close."""
        self.emit('ending')
        if self.ready_state == OPEN:
            # 5.5.1: "When sending a Close frame in response, the endpoint typically echos the status code it received."
            self._write_last(close_payload(code, ''))
        self.was_clean = True
        self._close(code, reason or self._reason)

    # ---- sending

    def text(self, message: str) -> bool:
        """Sends a text message."""
        if type(message) is str and self.ready_state == OPEN and self._extensions is None and len(message) < _LARGE_MESSAGE:
            self._writer.write(serialize_text(message, self._masking_key()))
            return True
        # A call of encode_text() took 6 % of the time of a short message with
        # extensions.
        try:
            payload = message.encode()
        except UnicodeEncodeError:
            payload = encode_text(message)
        return self._send_message(TEXT, payload)

    def binary(self, message: bytes) -> bool:
        """Sends a binary message."""
        return self._send_message(BINARY, message)

    def send_shared(self, message: SharedMessage) -> bool:
        """Sends a message that goes to many connections: those with the same extensions, or none, share one frame."""
        extensions = self._extensions
        key = extensions.broadcast_key if extensions is not None else ()
        # 5.3: each frame of a client's has a masking key of its own.
        if key is None or self.is_client or self.ready_state != OPEN:
            return Driver.send_shared(self, message)
        frame = message.frames.get(key)
        if frame is None:
            opcode, data = message.opcode, message.payload
            frame = serialize_frame(opcode, data) if extensions is None else self._extend(opcode, data)
            if frame is None:
                return False
            message.frames[key] = frame
        self._writer.write(frame)
        return True

    def ping(self, message: str | bytes = '', callback: Callable[[], object] | None = None) -> bool:
        """Sends a ping, and calls ``callback()`` at its pong. ValueError for more than 125 bytes (section 5.5)."""
        return self._command(self._send_ping, control_payload(message), callback)

    def pong(self, message: str | bytes = '') -> bool:
        """Sends a pong nobody asked for (section 5.5.3). ValueError for more than 125 bytes."""
        return self._command(self._write_urgent, PONG, control_payload(message), 'unsolicited pong')

    def fail(self, code: int, reason: str) -> None:
        """Section 7.1.7, _Fail the WebSocket Connection_: says why in a close frame, and is done."""
        # 5.5.1: "The application MUST NOT send any more data frames after sending a Close frame", nor a second one.
        if self.ready_state == OPEN:
            self._write_last(close_payload(code, reason))
        self._close(code, reason)

    def _send_message(self, opcode: int, data: bytes) -> bool:
        """A message, in one frame."""
        if self.ready_state != OPEN:
            return self._command(self._send_message, opcode, data)
        if self._extensions is None:
            if len(data) < _LARGE_MESSAGE or self.is_client:
                self._writer.write(serialize_frame(opcode, data, True, 0, self._masking_key()))
            else:
                self._writer.write_parts(serialize_frame_head(opcode, len(data)), data)
            return True
        frame = self._extend(opcode, data)
        if frame is None:
            return False
        self._writer.write(frame)
        return True

    def _extend(self, opcode: int, data: bytes) -> bytes | None:
        """The frame that the extensions make of a message; ``None`` when one of them fails."""
        assert self._extensions is not None
        try:
            message = self._extensions.process_outgoing_message(Message(opcode, data, 0))
        except ProtocolError as error:
            # Whoever sends has done nothing wrong, but what the peer's extension has seen and ours has are no longer the same.
            self._fail(error.code, _forgetful(error))
            return None
        return serialize_frame(opcode, message.data, True, message.rsv, self._masking_key())

    def _send_ping(self, payload: bytes, callback: Callable[[], object] | None) -> None:
        if callback is not None:
            self._pings = [*(self._pings or ()), (payload, callback)]
        self._write_urgent(PING, payload, f'ping {payload!r}')

    def _begin_close(self, code: int, reason: str) -> None:
        """Section 7.1.2: sends a close frame, behind what was sent before, and waits for the peer's."""
        # As it is sent, so that no lone surrogate comes back in the close event.
        self._reason = encode_text(reason).decode()
        self._writer.write(serialize_frame(CLOSE, close_payload(code, reason), masking_key=self._masking_key()))
        self.ready_state = CLOSING

    def _masking_key(self) -> bytes | None:
        """A server does not mask (section 5.1)."""
        return None

    def _write_urgent(self, opcode: int, payload: bytes, tag: str) -> None:
        """A control frame, ahead of what waits."""
        self._writer.write_urgent(serialize_frame(opcode, payload, masking_key=self._masking_key()), tag)

    def _write_last(self, payload: bytes) -> None:
        """The close frame after which nothing is sent, not even what waits."""
        self._writer.write_last(serialize_frame(CLOSE, payload, masking_key=self._masking_key()))

    def _close(self, code: int, reason: str) -> None:
        if self.ready_state != CLOSED:
            self._incoming = self._pings = None
            self._parser.forget()
            if self._extensions is not None:
                self._extensions.close()
        super()._close(code, reason)


def _find_version(environ: Mapping[str, Any]) -> str | None:
    """Return the version that a request asks for, less the empty elements of a list."""
    header = environ.get('HTTP_SEC_WEBSOCKET_VERSION')
    return header if not header or header in VERSIONS else ', '.join(tokens(header))


def _decode(opcode: int, data: bytes) -> str | bytes:
    """A message's data, as the application sees it; section 5.6: text is UTF-8, anything else closes with 1007."""
    if opcode == BINARY:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidData('text is not UTF-8') from None


def _forgetful(error: ProtocolError) -> ProtocolError:
    """The error without its way here, which would keep the message that was wrong for as long as somebody keeps the error."""
    error.__context__ = None
    return error.with_traceback(None)
