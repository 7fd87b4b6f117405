"""The close codes that each end may send: RFC 6455 section 7.4, and ``close`` of the
API.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faye_websocket.driver import CloseCode, Opcode
from faye_websocket.driver.codes import is_receivable, is_sendable
from tests.support import vectors

PRIVATE = {*range(3000, 5000)}
BY_A_SERVER = {1000, 1001, 1003, *range(1007, 1015)} | PRIVATE


@pytest.mark.proves('L4')
@pytest.mark.parametrize(('is_allowed', 'codes'), [
    (is_receivable, BY_A_SERVER | {1002}),
    (lambda code: is_sendable(code, server=True), BY_A_SERVER),
    (lambda code: is_sendable(code, server=False), {1000} | PRIVATE),
], ids=['from a peer', 'by a server', 'by a client'])
def test_these_codes_and_no_others_may_be_sent(is_allowed: Callable[[int], bool], codes: set[int]) -> None:
    assert {code for code in range(-1, 66000) if is_allowed(code)} == codes


def test_opcodes_are_those_of_the_registry() -> None:
    for name in 'CONTINUATION', 'TEXT', 'BINARY', 'CLOSE', 'PING', 'PONG':
        assert getattr(Opcode, name) == getattr(vectors, name)


def test_codes_have_the_names_of_the_rfc() -> None:
    assert {name: code for name, code in vars(CloseCode).items() if name.isupper()} == {
        'NORMAL_CLOSURE': 1000, 'GOING_AWAY': 1001, 'PROTOCOL_ERROR': 1002, 'UNSUPPORTED_DATA': 1003, 'NO_STATUS_RCVD': 1005,
        'ABNORMAL_CLOSURE': 1006, 'INVALID_DATA': 1007, 'POLICY_VIOLATION': 1008, 'MESSAGE_TOO_BIG': 1009,
        'MANDATORY_EXTENSION': 1010, 'INTERNAL_ERROR': 1011, 'SERVICE_RESTART': 1012, 'TRY_AGAIN_LATER': 1013,
        'BAD_GATEWAY': 1014}
