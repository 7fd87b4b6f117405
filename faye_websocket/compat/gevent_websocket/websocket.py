"""WebSocket: the object in ``environ['wsgi.websocket']``, around one of this library.

It is open when a program gets it. The end of the connection is a ``None`` from
``receive``, and a ``WebSocketError`` from everything that is called after that.
"""

from __future__ import annotations

from typing import Any

import gevent

from ... import websocket
from ...extensions import PermessageDeflate
from .exceptions import WebSocketError

__all__ = ['OPTIONS', 'WebSocket']

#: The options of every socket. The original has no limits, and a ``send`` that waits.
OPTIONS: dict[str, Any] = {
    'extensions': (PermessageDeflate(),),
    'max_length': 2**30,
    'max_fragments': 2**20,
    'overflow': 'block',
}

# RFC 6455 section 5.5: "All control frames MUST have a payload length of 125 bytes or
# less", two of which are the code.
_LONGEST_REASON = 123
_CLOSED = 'Connection is already closed'
_DEAD = 'Socket is dead'


class WebSocket:
    """A WebSocket as gevent-websocket has it; ``stream`` is the socket behind it."""

    OPCODE_CONTINUATION = 0x00
    OPCODE_TEXT = 0x01
    OPCODE_BINARY = 0x02
    OPCODE_CLOSE = 0x08
    OPCODE_PING = 0x09
    OPCODE_PONG = 0x0A

    def __init__(
        self,
        environ: dict[str, Any],
        stream: websocket.WebSocket,
        handler: Any,
        do_compress: bool = True,
    ) -> None:
        self.environ = environ
        self.stream = stream
        self.handler = handler
        # ``receive`` has returned None, or the program has closed the socket.
        self._is_over = False
        # A message was received that may still be answered, though the client is gone.
        self._has_message = False

    @property
    def closed(self) -> bool:
        """Whether the socket is closed, and no message waits that came before."""
        return self._is_over or (self._is_gone and not self._has_waiting)

    @property
    def origin(self) -> str | None:
        """The request's Origin header."""
        return self.environ.get('HTTP_ORIGIN')

    @property
    def protocol(self) -> str | None:
        """The request's Sec-WebSocket-Protocol header, as it stands."""
        return self.environ.get('HTTP_SEC_WEBSOCKET_PROTOCOL')

    @property
    def version(self) -> str | None:
        """The request's Sec-WebSocket-Version header."""
        return self.environ.get('HTTP_SEC_WEBSOCKET_VERSION')

    @property
    def path(self) -> str | None:
        """The request's path."""
        return self.environ.get('PATH_INFO')

    @property
    def logger(self) -> Any:
        """The server's logger."""
        return self.handler.logger

    def receive(self) -> str | bytearray | None:
        """Return the next message, or None at the end. Raises WebSocketError then."""
        if self._is_over:
            # A loop that goes on all the same must not keep others from running.
            gevent.sleep(0)
            raise WebSocketError(_CLOSED)
        message = self.stream.receive()
        self._has_message = message is not None
        self._is_over = self._is_over or message is None
        return bytearray(message) if isinstance(message, bytes) else message

    def send(self, message: Any, binary: bool | None = None, do_compress: bool = True) -> None:
        """Send a message, text if it is a str and binary otherwise.

        Blocks while the client is slow. Raises WebSocketError on a closed socket,
        whatever the message is.
        """
        is_text = isinstance(message, str) if binary is None else not binary
        opcode = self.OPCODE_TEXT if is_text else self.OPCODE_BINARY
        self.send_frame(message, opcode, do_compress)

    def send_frame(self, message: Any, opcode: int, do_compress: bool = False) -> None:
        """Send a message, a ping, a pong or a close frame."""
        if self.closed and not self._may_answer():
            raise WebSocketError(_CLOSED if self._is_over else _DEAD)
        if opcode in (self.OPCODE_TEXT, self.OPCODE_BINARY):
            convert = _to_text if opcode == self.OPCODE_TEXT else _to_bytes
            self._send_whole(convert(message))
        elif opcode in (self.OPCODE_PING, self.OPCODE_PONG):
            command = self.stream.ping if opcode == self.OPCODE_PING else self.stream.pong
            command(_to_bytes(message))
        elif opcode == self.OPCODE_CLOSE:
            payload = _to_bytes(message)
            self.close(int.from_bytes(payload[:2] or b'\x03\xe8', 'big'), payload[2:])
        else:
            raise WebSocketError(f'opcode: frames of opcode {opcode!r} cannot be sent')

    def close(self, code: int = 1000, message: str | bytes | None = b'') -> None:
        """Close the socket; a code that may not be sent becomes 1000."""
        if self._is_over:
            return
        self._is_over = True
        reason = _to_bytes(message or b'')[:_LONGEST_REASON].decode(errors='ignore')
        try:
            self.stream.close(code, reason)
        except ValueError:
            self.stream.close(reason=reason)

    def _send_whole(self, data: str | bytes) -> None:
        """Send a message, and wait until nearly all of it is with the kernel."""
        if not self.stream.send(data):
            return
        if not self.stream._connection.wait_until_caught_up() and self.closed:
            raise WebSocketError(_DEAD)

    @property
    def _is_gone(self) -> bool:
        return self.stream.ready_state > self.stream.OPEN

    @property
    def _has_waiting(self) -> bool:
        """Whether messages wait for ``receive``."""
        return self.stream._connection.has_message

    def _may_answer(self) -> bool:
        """Return whether this is the first answer to a gone client's last message.

        The kernel takes that one, too. A program that answers each message so reaches
        the ``None`` behind the last.
        """
        has_message, self._has_message = self._has_message, False
        return has_message and not self._is_over


def _to_text(message: Any) -> str:
    if isinstance(message, (bytes, bytearray)):
        return message.decode()
    return str(message)


def _to_bytes(message: Any) -> bytes:
    return message.encode() if isinstance(message, str) else bytes(message)
