"""Numbers of RFC 6455: opcodes (section 5.2) and close codes (section 7.4)."""

from __future__ import annotations

__all__ = ['CloseCode', 'Opcode', 'is_receivable', 'is_sendable']


class Opcode:
    """Frame opcodes (section 11.8)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode:
    """Close codes (section 7.4.1, and the IANA registry)."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RCVD = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014


# 7.4.1: 1004 is reserved; 1005, 1006 and 1015 "MUST NOT be set as a status code in a
# Close control frame".
_ON_THE_WIRE = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
# Only the library itself closes with 1002; an application may not.
_FOR_A_SERVER = _ON_THE_WIRE - {CloseCode.PROTOCOL_ERROR}
_FOR_A_CLIENT = frozenset({CloseCode.NORMAL_CLOSURE})


def _is_private(code: int) -> bool:
    """Return whether the code may be defined outside of the protocol.

    Section 7.4.2: 3000 to 3999 are registered by libraries, 4000 to 4999 are for
    private use.
    """
    return 3000 <= code <= 4999


def is_receivable(code: int) -> bool:
    """Return whether the close frame of a peer may carry ``code``."""
    return code in _ON_THE_WIRE or _is_private(code)


def is_sendable(code: int, *, server: bool) -> bool:
    """Return whether an application may close with ``code``.

    WHATWG's WebSocket interface allows 1000 and 3000 to 4999. A server may send more.
    """
    return code in (_FOR_A_SERVER if server else _FOR_A_CLIENT) or _is_private(code)
