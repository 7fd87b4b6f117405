"""hixie-76: hixie-75 with keys and a closing handshake.

It is also known as draft-ietf-hybi-thewebsocketprotocol-00. The server's proof is
computed from eight bytes that follow the head of the request, without a Content-Length.
A proxy may hold them back until it has seen the head of the response. So the head is
sent at once, and the proof when the eight bytes have arrived.
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

# Four bytes from each key, and the eight bytes of the body.
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
        # The bytes of the challenge received so far, from the time the head is sent.
        self._challenge: bytes | None = None

    def check(self) -> None:
        """Raise HandshakeError if the request must be refused. Change nothing."""
        super().check()
        self._numbers()

    def parse(self, chunk: bytes) -> None:
        """Parse the next bytes received: the handshake's eight first, then frames."""
        if self.ready_state == CONNECTING and self._challenge is not None:
            missing = _CHALLENGE_LENGTH - len(self._challenge)
            self._challenge += chunk[:missing]
            self._buffer += chunk[missing:]
            chunk = b''
            if len(self._challenge) == _CHALLENGE_LENGTH:
                self._prove()
        super().parse(chunk)

    def end(self, reason: str = '') -> None:
        """Record that the connection was lost.

        This version has a closing handshake, so that an end without it is not clean.
        """
        self._close(CloseCode.ABNORMAL_CLOSURE, reason)

    def _begin_close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; this version has no close codes."""
        self._writer.write(_CLOSING_FRAME)
        self.ready_state = CLOSING

    def _respond(self) -> None:
        """Wait for the body of the request before sending the proof.

        The rest of the request is no longer needed.
        """
        number1, number2 = self._numbers()
        self._challenge = number1.to_bytes(4, 'big') + number2.to_bytes(4, 'big')
        self._environ = NO_ENVIRON

    def _prove(self) -> None:
        """Send the proof that the handshake was understood, and open."""
        challenge, self._challenge = self._challenge or b'', None
        self._writer.write(hashlib.md5(challenge, usedforsecurity=False).digest())
        super()._respond()

    def _numbers(self) -> tuple[int, int]:
        """Return the numbers encoded in the two keys.

        Raise HandshakeError for an invalid key.
        """
        environ = self._environ
        return (
            _number(environ.get('HTTP_SEC_WEBSOCKET_KEY1', '')),
            _number(environ.get('HTTP_SEC_WEBSOCKET_KEY2', '')),
        )

    def _skipped(self, frame_type: int, length: int) -> None:
        """Close if the frame is 0xFF 0x00, the closing handshake."""
        if frame_type == 0xFF and not length:
            self._end_by(self._receive_close)

    def _receive_close(self) -> None:
        """Handle the closing frame of a peer, or its response to ours."""
        if self.ready_state == OPEN:
            self._writer.write(_CLOSING_FRAME)
        self.was_clean = True
        self._close(CloseCode.NO_STATUS_RCVD, '')


def _number(key: str) -> int:
    """Return the number in a key: its digits, divided by its number of spaces.

    Raise HandshakeError if that is not a number of 32 bits.
    """
    digits = re.sub(r'[^0-9]', '', key)
    spaces = key.count(' ')
    if (
        not digits
        or len(digits) > 20
        or not spaces
        or int(digits) % spaces
        or int(digits) // spaces >= 2**32
    ):
        raise HandshakeError('400 Bad Request', f'the key {key[:80]!r} does not encode a number')
    return int(digits) // spaces
