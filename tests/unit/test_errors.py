"""The exceptions of the library, with the code or status of the reply."""

from __future__ import annotations

import pytest

import faye_websocket
from faye_websocket.errors import (
    HandshakeError,
    InvalidData,
    MessageTooBig,
    ProtocolError,
    UnsupportedServer,
)


@pytest.mark.parametrize(('error', 'code'), [(ProtocolError, 1002), (InvalidData, 1007), (MessageTooBig, 1009)])
def test_a_protocol_error_has_its_close_code_and_its_text(error: type[ProtocolError], code: int) -> None:
    assert (error('why').code, str(error('why')), issubclass(error, ProtocolError)) == (code, 'why', True)


def test_a_handshake_error_has_its_status_and_headers() -> None:
    plain = HandshakeError('400 Bad Request', 'why')
    assert (str(plain), plain.status, plain.headers) == ('why', '400 Bad Request', ())
    assert HandshakeError('426 Upgrade Required', 'why', (('A', '1'),)).headers == (('A', '1'),)


def test_an_unsupported_server_is_a_runtime_error() -> None:
    assert faye_websocket.UnsupportedServer is UnsupportedServer
    assert issubclass(UnsupportedServer, RuntimeError)
