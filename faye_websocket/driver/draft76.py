"""hixie-76, also known as draft-ietf-hybi-thewebsocketprotocol-00: hixie-75, and keys, and a closing handshake.

The proof needs eight bytes that follow the request's head without a Content-Length; a proxy may hold them back until it
has seen the response's head. So the head goes out at once, and the proof when the eight bytes are there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from ..errors import HandshakeError
from .base import CLOSING, CONNECTING, NO_ENVIRON, OPEN, ServerIO
from .codes import CloseCode
from .draft75 import Draft75

__all__ = ['Draft76']

# Four bytes of each key, and the eight of the body.
_CHALLENGE_LENGTH = 16
_CLOSING_FRAME = b'\xff\x00'


class Draft76(Draft75):
    """The server's end of a hixie-76 connection."""

    __slots__ = ('_challenge',)

    version = 'hixie-76'

    _status = '101 WebSocket Protocol Handshake'
    _prefix = 'Sec-'
    _protocol_header = 'HTTP_SEC_WEBSOCKET_PROTOCOL'

    def __init__(self, io: ServerIO, protocols: Iterable[str] = (), **options: Any) -> None:
        super().__init__(io, protocols, **options)
        # As far as it has come, once the head is out.
        self._challenge: bytes | None = None

    def check(self) -> None:
        """Raises HandshakeError when the request must be refused. Pure."""
        super().check()
        self._numbers()

    def parse(self, chunk: bytes) -> None:
        """Takes the next bytes of the wire: first the eight of the handshake."""
        if self.ready_state == CONNECTING and self._challenge is not None:
            missing = _CHALLENGE_LENGTH - len(self._challenge)
            self._challenge += chunk[:missing]
            self._buffer += chunk[missing:]
            chunk = b''
            if len(self._challenge) == _CHALLENGE_LENGTH:
                self._prove()
        super().parse(chunk)

    def end(self, reason: str = '') -> None:
        """This version has a closing handshake, so without one the connection was lost."""
        self._close(CloseCode.ABNORMAL_CLOSURE, reason)

    def _begin_close(self, code: int, reason: str) -> None:
        """Begins the closing handshake; the version has no codes."""
        self._writer.write(_CLOSING_FRAME)
        self.ready_state = CLOSING

    def _respond(self) -> None:
        """The head is out; the proof waits for the body, and nothing else of the request does."""
        number1, number2 = self._numbers()
        self._challenge = number1.to_bytes(4, 'big') + number2.to_bytes(4, 'big')
        self._environ = NO_ENVIRON

    def _prove(self) -> None:
        """Sends the proof that the handshake was understood, and opens."""
        challenge, self._challenge = self._challenge or b'', None
        self._writer.write(hashlib.md5(challenge, usedforsecurity=False).digest())
        super()._respond()

    def _numbers(self) -> tuple[int, int]:
        """The numbers hidden in the two keys. Raises HandshakeError when one of them holds none."""
        environ = self._environ
        return (
            _number(environ.get('HTTP_SEC_WEBSOCKET_KEY1', '')),
            _number(environ.get('HTTP_SEC_WEBSOCKET_KEY2', '')),
        )

    def _skipped(self, frame_type: int, length: int) -> None:
        """0xFF 0x00 is the closing handshake."""
        if frame_type != 0xFF or length:
            return
        self.emit('ending')
        if self.ready_state == OPEN:
            self._writer.write(_CLOSING_FRAME)
        self.was_clean = True
        self._close(CloseCode.NO_STATUS_RCVD, '')


def _number(key: str) -> int:
    """A key's digits, read as one number, divided by its number of spaces."""
    digits = re.sub(r'[^0-9]', '', key)
    spaces = key.count(' ')
    if not digits or len(digits) > 20 or not spaces or int(digits) % spaces or int(digits) // spaces >= 2**32:
        raise HandshakeError('400 Bad Request', f'the key {key[:80]!r} hides no number')
    return int(digits) // spaces
