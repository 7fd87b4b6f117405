"""hybi-07 to RFC 6455: messages, control frames and the closing handshake.

The driver parses the bytes received with the frame parser of ``codec``, and emits
``message``, ``ping``, ``pong`` and ``close``. A fault of the peer's becomes a close
frame with the matching code (section 7.4.1), then ``error`` and ``close``, and nothing
after them.
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

# A class attribute would cost 4 % of the time of a message.
TEXT, BINARY = Opcode.TEXT, Opcode.BINARY
CLOSE, PING, PONG = Opcode.CLOSE, Opcode.PING, Opcode.PONG

# Section 1.3
_GUID = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
# Section 4.1: "a base64-encoded value that, when decoded, is 16 bytes in length"
_KEY = re.compile(r'[A-Za-z0-9+/]{22}==')
# The head of every response that accepts a handshake, up to the key.
_ACCEPTANCE = (
    'HTTP/1.1 101 Switching Protocols\r\n'
    'Upgrade: websocket\r\n'
    'Connection: Upgrade\r\n'
    'Sec-WebSocket-Accept: '
)
# A message of this length or more is sent without copying it behind its frame's head.
_LARGE_MESSAGE = 16384

# By first byte: whether the frame is a whole message (FIN, and TEXT or BINARY). The
# reserved bits may have any value, since the parser has checked them.
_IS_WHOLE = bytes(
    first_byte & 0x80 != 0 and first_byte & 0x0F in (TEXT, BINARY) for first_byte in range(256)
)

# The values of Sec-WebSocket-Version, best first, and the names of the versions here.
# hybi-08 to hybi-12 all send 8.
VERSIONS = {'13': 'hybi-13', '8': 'hybi-08', '7': 'hybi-07'}


def accept_key(key: str) -> str:
    """Return the Sec-WebSocket-Accept value for a Sec-WebSocket-Key (section 4.2.2)."""
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
        """The extensions agreed on, as the Sec-WebSocket-Extensions header states them.

        ``''`` if there are none.
        """
        return self._extensions.header if self._extensions is not None else ''

    def check(self) -> None:
        """Raise HandshakeError if the request must be refused. Change nothing."""
        super().check()
        environ = self._environ
        version = _find_version(environ)
        if version not in VERSIONS:
            # 4.4: "the server MUST respond with one or more |Sec-WebSocket-Version|
            # header fields" that name the versions it supports
            supported = ('Sec-WebSocket-Version', ', '.join(VERSIONS))
            raise HandshakeError(
                '426 Upgrade Required', f'version {version!r} is not supported', (supported,)
            )
        if not _KEY.fullmatch(environ.get('HTTP_SEC_WEBSOCKET_KEY', '')):
            raise HandshakeError(
                '400 Bad Request', 'Sec-WebSocket-Key is not sixteen bytes in base64'
            )
        offers = environ.get('HTTP_SEC_WEBSOCKET_EXTENSIONS')
        if offers:
            try:
                parse_extensions(offers)
            except ValueError as error:
                raise HandshakeError('400 Bad Request', str(error)) from None

    def _response(self) -> bytes:
        """Return the response that accepts the handshake (section 4.2.2)."""
        self._negotiate()
        headers: HeaderList = []
        if self.protocol:
            headers.append(('Sec-WebSocket-Protocol', self.protocol))
        if self.extensions:
            headers.append(('Sec-WebSocket-Extensions', self.extensions))
        key = self._environ['HTTP_SEC_WEBSOCKET_KEY']
        return serialize_head(f'{_ACCEPTANCE}{accept_key(key)}', headers + self._headers)

    def _negotiate(self) -> None:
        """Agree on extensions with a client that offers some (section 9)."""
        if self._extensions is not None:
            self._extensions.generate_response(
                self._environ.get('HTTP_SEC_WEBSOCKET_EXTENSIONS', '')
            )
            self._agree(self._extensions)

    def _agree(self, extensions: Pipeline) -> None:
        """Use the extensions that were negotiated."""
        self._parser.reserve(extensions.reserved)
        self._extensions = extensions if extensions.header else None

    # ---- receiving, sections 5.4 to 5.6

    def parse(self, chunk: bytes) -> None:
        """Parse the next bytes received from the peer, cut anywhere."""
        if self.ready_state in (CONNECTING, CLOSED):
            return
        parser = self._parser
        parser.feed(chunk)
        # Nothing is emitted within the "try", so that an exception of a listener is not
        # taken for a fault of the peer's.
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
                self._end_by(self._fail, error.code, _forgetful(error))
                break
            if opcode < CLOSE:
                if message is not None:
                    self.emit_message(message)
            elif opcode == CLOSE:
                self._end_by(self._receive_close, code, reason)
                break
            elif opcode == PING:
                self._receive_ping(frame.payload)
            else:
                self._receive_pong(frame.payload)

    def _receive_data(self, frame: Frame) -> str | bytes | None:
        """Handle a data frame, or a part of one.

        Return the message that it completes, or None.
        """
        if (
            _IS_WHOLE[frame.first_byte]
            and frame.is_first
            and frame.is_last
            and self._incoming is None
            and frame.length <= self.max_length
        ):
            # Most messages are one frame that arrived in one read. Skipping the
            # bookkeeping saves 0.5 us for each of them.
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
        """Return the data of a message after the extensions have processed it."""
        assert self._extensions is not None
        message = self._extensions.process_incoming_message(
            Message(opcode, data, rsv, self.max_length)
        )
        if len(message.data) > self.max_length:
            raise MessageTooBig(f'message too big: {len(message.data)} > {self.max_length}')
        return _decode(opcode, message.data)

    def _receive_ping(self, payload: bytes) -> None:
        # 5.5.2: "an endpoint MUST send a Pong frame in response, unless it already
        # received a Close frame"; parsing ends with that frame. The close frame that we
        # have sent makes no difference. 5.5.3: an endpoint may "send a Pong frame for
        # only the most recently processed Ping frame".
        self._write_urgent(PONG, payload, 'pong')
        self.emit('ping', payload)

    def _receive_pong(self, payload: bytes) -> None:
        """Call the callback of the first ping with this payload.

        The pings before it are forgotten: a peer may skip them (section 5.5.3).
        """
        pings = self._pings or []
        for index, (message, callback) in enumerate(pings):
            if message == payload:
                self._pings = pings[index + 1 :] or None
                callback()
                break
        self.emit('pong', payload)

    def _receive_close(self, code: int, reason: str) -> None:
        """Handle the close frame of a peer, or its response to ours (5.5.1)."""
        if self.ready_state == OPEN:
            # 5.5.1: "When sending a Close frame in response, the endpoint typically
            # echos the status code it received."
            self._write_last(close_payload(code, ''))
        self.was_clean = True
        self._close(code, reason or self._reason)

    # ---- sending

    def text(self, message: str) -> bool:
        """Send a text message."""
        if (
            type(message) is str
            and self.ready_state == OPEN
            and self._extensions is None
            and len(message) < _LARGE_MESSAGE
        ):
            self._writer.write(serialize_text(message, self._masking_key()))
            return True
        # A call of encode_text() would take 6 % of the time of a short message with
        # extensions.
        try:
            payload = message.encode()
        except UnicodeEncodeError:
            payload = encode_text(message)
        return self._send_message(TEXT, payload)

    def binary(self, message: bytes) -> bool:
        """Send a binary message."""
        return self._send_message(BINARY, message)

    def send_shared(self, message: SharedMessage) -> bool:
        """Send a message that goes to many connections.

        Connections with equal extensions, or with none, share one frame.
        """
        extensions = self._extensions
        key = extensions.broadcast_key if extensions is not None else ()
        # 5.3: every frame that a client sends has a masking key of its own.
        if key is None or self.is_client or self.ready_state != OPEN:
            return Driver.send_shared(self, message)
        frame = message.frames.get(key)
        if frame is None:
            opcode, data = message.opcode, message.payload
            frame = (
                serialize_frame(opcode, data) if extensions is None else self._extend(opcode, data)
            )
            if frame is None:
                return False
            message.frames[key] = frame
        self._writer.write(frame)
        return True

    def ping(self, message: str | bytes = '', callback: Callable[[], object] | None = None) -> bool:
        """Send a ping, and call ``callback()`` when the matching pong arrives.

        Raise ValueError if the message has more than 125 bytes (section 5.5).
        """
        return self._command(self._send_ping, control_payload(message), callback)

    def pong(self, message: str | bytes = '') -> bool:
        """Send an unsolicited pong (section 5.5.3).

        Raise ValueError if the message has more than 125 bytes (section 5.5).
        """
        return self._command(self._write_urgent, PONG, control_payload(message), 'unsolicited pong')

    def fail(self, code: int, reason: str) -> None:
        """Send a close frame with this code and reason, and end the connection.

        Section 7.1.7, _Fail the WebSocket Connection_.
        """
        # 5.5.1: "The application MUST NOT send any more data frames after sending a
        # Close frame", nor a second one.
        if self.ready_state == OPEN:
            self._write_last(close_payload(code, reason))
        self._close(code, reason)

    def _send_message(self, opcode: int, data: bytes) -> bool:
        """Send a message in one frame."""
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
        """Return the frame of a message that the extensions have processed.

        Return None if one of them fails.
        """
        assert self._extensions is not None
        try:
            message = self._extensions.process_outgoing_message(Message(opcode, data, 0))
        except ProtocolError as error:
            # The sender has made no mistake, so that nothing is raised. But the
            # contexts of our extension and of the peer's are no longer equal, so that
            # the connection cannot go on.
            self._fail(error.code, _forgetful(error))
            return None
        return serialize_frame(opcode, message.data, True, message.rsv, self._masking_key())

    def _send_ping(self, payload: bytes, callback: Callable[[], object] | None) -> None:
        if callback is not None:
            self._pings = [*(self._pings or ()), (payload, callback)]
        self._write_urgent(PING, payload, f'ping {payload!r}')

    def _begin_close(self, code: int, reason: str) -> None:
        """Send a close frame behind the data, and wait for the peer's (7.1.2)."""
        # Keep the reason as it is sent, so that the close event holds no lone
        # surrogate.
        self._reason = encode_text(reason).decode()
        self._writer.write(
            serialize_frame(CLOSE, close_payload(code, reason), masking_key=self._masking_key())
        )
        self.ready_state = CLOSING

    def _masking_key(self) -> bytes | None:
        """Return None: a server does not mask (section 5.1)."""
        return None

    def _write_urgent(self, opcode: int, payload: bytes, tag: str) -> None:
        """Write a control frame, ahead of the data that is buffered."""
        self._writer.write_urgent(
            serialize_frame(opcode, payload, masking_key=self._masking_key()), tag
        )

    def _write_last(self, payload: bytes) -> None:
        """Write a close frame.

        Nothing is sent after it, not even data that is buffered.
        """
        self._writer.write_last(serialize_frame(CLOSE, payload, masking_key=self._masking_key()))

    def _close(self, code: int, reason: str) -> None:
        if self.ready_state != CLOSED:
            self._incoming = self._pings = None
            self._parser.forget()
            if self._extensions is not None:
                self._extensions.close()
        super()._close(code, reason)


def _find_version(environ: Mapping[str, Any]) -> str | None:
    """Return the version that a request asks for, without a list's empty elements."""
    header = environ.get('HTTP_SEC_WEBSOCKET_VERSION')
    return header if not header or header in VERSIONS else ', '.join(tokens(header))


def _decode(opcode: int, data: bytes) -> str | bytes:
    """Return the data of a message: a ``str`` for text, and bytes for binary.

    Raise InvalidData for text that is not UTF-8 (sections 5.6 and 8.1).
    """
    if opcode == BINARY:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidData('text is not UTF-8') from None


def _forgetful(error: ProtocolError) -> ProtocolError:
    """Return the error without its traceback and context.

    They would keep the faulty message in memory for as long as the application keeps
    the error.
    """
    error.__context__ = None
    return error.with_traceback(None)
