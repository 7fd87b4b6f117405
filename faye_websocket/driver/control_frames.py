"""The bodies of control frames (section 5.5): what a close frame says, and what may be put into one, a ping or a pong."""

from __future__ import annotations

from ..errors import InvalidData, ProtocolError
from .codes import CloseCode, is_receivable, is_sendable
from .text import encode_text

__all__ = ['check_close', 'close_payload', 'control_payload', 'parse_close']

# Section 5.5: 125 bytes, two of which are the code in a close frame
_MAX_CONTROL = 125
_MAX_REASON = _MAX_CONTROL - 2


def parse_close(payload: bytes) -> tuple[int, str]:
    """A close frame's code and reason; 1005 where it has none (section 7.1.5)."""
    if not payload:
        return CloseCode.NO_STATUS_RCVD, ''
    # 5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer"
    code = int.from_bytes(payload[:2], 'big')
    if len(payload) == 1 or not is_receivable(code):
        raise ProtocolError('close frame without a valid code')
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise InvalidData('the reason is not UTF-8') from None


def close_payload(code: int, reason: str) -> bytes:
    """A close frame's body; the reason is cut where a character ends, at 123 bytes at most."""
    # 7.4.1: 1005, 1006 and 1015 "MUST NOT be set as a status code in a Close control frame".
    if not is_receivable(code):
        return b''
    text = encode_text(reason)[:_MAX_REASON].decode(errors='ignore')
    return code.to_bytes(2, 'big') + text.encode()


def check_close(code: int, reason: str, *, server: bool) -> None:
    """Raises ValueError or TypeError for a close that an application may not ask for."""
    if not isinstance(code, int) or not is_sendable(code, server=server):
        raise ValueError(f'code: {code!r} cannot be sent by an application')
    if not isinstance(reason, str):
        raise TypeError(f'reason: expected a str, got {reason!r}')
    length = len(encode_text(reason))
    if length > _MAX_REASON:
        room = f'a close frame has room for {_MAX_REASON} bytes'
        raise ValueError(f'reason: {room}, not for {length}')


def control_payload(message: str | bytes) -> bytes:
    """A ping's or pong's body from what the caller gave. Raises TypeError, or ValueError for more than 125 bytes."""
    if not isinstance(message, (str, bytes, bytearray, memoryview)):
        raise TypeError(f'message: expected str or bytes, got {type(message).__name__}')
    payload = encode_text(message) if isinstance(message, str) else bytes(message)
    if len(payload) > _MAX_CONTROL:
        raise ValueError(f'message: a control frame has room for {_MAX_CONTROL} bytes, not for {len(payload)}')
    return payload
