"""hixie-75 (draft-hixie-thewebsocketprotocol-75): text messages between 0x00 and 0xFF.

This version has no binary messages, pings, pongs or close codes. The connection is
closed without a handshake.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import InvalidData, MessageTooBig, ProtocolError
from ..http.head import HeaderList, serialize_head
from ..http.url import determine_url
from .base import CLOSED, CONNECTING, Driver, ServerIO
from .codes import CloseCode

__all__ = ['Draft75']

_TEXT_END = 0xFF
_TOP_BIT = 0x80
# Digits in base 128 of a length, with leading zeros: 63 bits, as in RFC 6455.
_MAX_LENGTH_BYTES = 9


class Draft75(Driver):
    """The server's end of a hixie-75 connection."""

    __slots__ = ('_buffer', '_searched', '_skip')

    version = 'hixie-75'

    _status = '101 Web Socket Protocol Handshake'
    _prefix = ''
    _protocol_header = 'HTTP_WEBSOCKET_PROTOCOL'

    def __init__(self, io: ServerIO, protocols: Iterable[str] = (), **options: Any) -> None:
        super().__init__(io, protocols, **options)
        self._buffer = bytearray()
        self._searched = 0
        self._skip = 0

    def parse(self, chunk: bytes) -> None:
        """Parse the next bytes received from the peer, cut anywhere."""
        if self.ready_state in (CONNECTING, CLOSED):
            return
        self._buffer += chunk
        # Nothing is emitted within the "try", so that an exception of a listener is not
        # taken for a fault of the peer's.
        while self.ready_state != CLOSED and not self.is_paused:
            try:
                frame = self._next_frame()
            except ProtocolError as error:
                self._end_by(self._fail, error.code, error)
                break
            if frame is None:
                break
            if isinstance(frame, str):
                self.emit_message(frame)
            else:
                self._skipped(*frame)

    def end(self, reason: str = '') -> None:
        """Record the end of the connection, which is how this version closes.

        With a ``reason``, the connection was lost.
        """
        self.was_clean = not reason
        self._close(CloseCode.ABNORMAL_CLOSURE if reason else CloseCode.NO_STATUS_RCVD, reason)

    def _send_text(self, payload: bytes) -> None:
        self._writer.write(b'\x00' + payload + b'\xff')

    def _begin_close(self, code: int, reason: str) -> None:
        """Close at once: this version has no closing handshake and no close codes."""
        self.was_clean = True
        self._close(CloseCode.NO_STATUS_RCVD, '')

    def _close(self, code: int, reason: str) -> None:
        self._buffer.clear()
        super()._close(code, reason)

    def _response(self) -> bytes:
        """Return the response that accepts the handshake.

        The draft prescribes the order and the case of the first two headers.
        """
        environ = self._environ
        headers: HeaderList = [('Upgrade', 'WebSocket'), ('Connection', 'Upgrade')]
        if 'HTTP_ORIGIN' in environ:
            headers.append((f'{self._prefix}WebSocket-Origin', environ['HTTP_ORIGIN']))
        headers.append((f'{self._prefix}WebSocket-Location', determine_url(environ)))
        if self.protocol:
            headers.append((f'{self._prefix}WebSocket-Protocol', self.protocol))
        return serialize_head(f'HTTP/1.1 {self._status}', headers + self._headers)

    def _next_frame(self) -> str | tuple[int, int] | None:
        """Return the next text, or the type and the length of a frame to skip.

        Return None if more bytes are needed.
        """
        if self._skip:
            taken = min(self._skip, len(self._buffer))
            del self._buffer[:taken]
            self._skip -= taken
        if not self._buffer:
            return None
        if self._buffer[0] & _TOP_BIT:
            return self._parse_length()
        # The draft has clients send 0x00 before a text. Like the Ruby driver, accept
        # any type without the top bit.
        return self._parse_text()

    def _parse_text(self) -> str | None:
        """Return the text of a frame, or None until its end has arrived.

        Bytes that were searched once are not searched again.
        """
        end = self._buffer.find(_TEXT_END, max(1, self._searched))
        length = (end if end > 0 else len(self._buffer)) - 1
        if length > self.max_length:
            raise self._too_big()
        if end < 0:
            self._searched = len(self._buffer)
            return None
        payload = bytes(self._buffer[1:end])
        del self._buffer[: end + 1]
        self._searched = 0
        try:
            return payload.decode()
        except UnicodeDecodeError:
            raise InvalidData('text is not UTF-8') from None

    def _parse_length(self) -> tuple[int, int] | None:
        """Return type and length of a frame with the top bit set, and skip its bytes.

        The length is written in base 128. Return None until it is complete.
        """
        length = 0
        for index in range(1, len(self._buffer)):
            byte = self._buffer[index]
            length = length * 128 + (byte & 0x7F)
            if length > self.max_length or index > _MAX_LENGTH_BYTES:
                raise self._too_big()
            if not byte & _TOP_BIT:
                frame_type = self._buffer[0]
                del self._buffer[: index + 1]
                self._skip = length
                return frame_type, length
        return None

    def _too_big(self) -> MessageTooBig:
        """Return the error for a text or length above the limit.

        The actual length is not known before the end of the message, and the driver
        does not wait for that.
        """
        return MessageTooBig(f'message too big: more than {self.max_length} bytes')

    def _skipped(self, frame_type: int, length: int) -> None:
        """Handle a frame that holds no text: do nothing in this version."""
