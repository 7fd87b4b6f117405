"""The payloads of control frames (section 5.5): parsed, checked and serialized."""

from __future__ import annotations

from ..errors import InvalidData, ProtocolError
from .codes import CloseCode, is_receivable, is_sendable
from .text import encode_text

__all__ = ['check_close', 'close_payload', 'control_payload', 'parse_close']

# Section 5.5: 125 bytes. Two of them hold the code in a close frame.
_MAX_CONTROL = 125
_MAX_REASON = _MAX_CONTROL - 2


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return the code and the reason of a close frame; 1005 if it has no code (7.1.5).

    Raise ProtocolError for an invalid code, and InvalidData for a reason that is not
    UTF-8.
    """
    if not payload:
        return CloseCode.NO_STATUS_RCVD, ''
    # 5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte
    # unsigned integer"
    code = int.from_bytes(payload[:2], 'big')
    if len(payload) == 1 or not is_receivable(code):
        raise ProtocolError('close frame without a valid code')
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise InvalidData('the reason is not UTF-8') from None


def close_payload(code: int, reason: str) -> bytes:
    """Return the payload of a close frame.

    The reason is cut to 123 bytes, at the end of a character.
    """
    # 7.4.1: 1005, 1006 and 1015 "MUST NOT be set as a status code in a Close control
    # frame".
    if not is_receivable(code):
        return b''
    if not reason:
        return code.to_bytes(2, 'big')
    text = encode_text(reason)[:_MAX_REASON].decode(errors='ignore')
    return code.to_bytes(2, 'big') + text.encode()


def check_close(code: int, reason: str, *, server: bool) -> None:
    """Raise ValueError or TypeError if an application may not close with these."""
    if not isinstance(code, int) or not is_sendable(code, server=server):
        raise ValueError(f'code: {code!r} cannot be sent by an application')
    if not isinstance(reason, str):
        raise TypeError(f'reason: expected a str, got {reason!r}')
    length = len(encode_text(reason))
    if length > _MAX_REASON:
        raise ValueError(f'reason: a close frame holds at most {_MAX_REASON} bytes, not {length}')


def control_payload(message: str | bytes) -> bytes:
    """Return the payload of a ping or pong from the caller's argument.

    Raise TypeError for another type, and ValueError for more than 125 bytes.
    """
    if not isinstance(message, (str, bytes, bytearray, memoryview)):
        raise TypeError(f'message: expected str or bytes, got {type(message).__name__}')
    payload = encode_text(message) if isinstance(message, str) else bytes(message)
    if len(payload) > _MAX_CONTROL:
        raise ValueError(
            f'message: a control frame holds at most {_MAX_CONTROL} bytes, not {len(payload)}'
        )
    return payload
