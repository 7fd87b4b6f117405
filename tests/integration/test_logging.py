"""The log of a real server, as an operator reads it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.servers import SERVERS, serve
from tests.support.waiting import wait_until
from tests.support.wire import RFC_6455, TEXT, Frame, RawClient


@pytest.mark.proves('O4')
@pytest.mark.parametrize('kind', SERVERS)
def test_has_each_connection_and_each_refusal_and_why(kind: str, tmp_path: Path) -> None:
    options = ('--log-level', 'info')
    with serve(kind, 'tests.support.log_app:app', tmp_path=tmp_path, options=options) as server:
        with RawClient(server, '/chat%0AINFO?token=secret', RFC_6455) as client:
            assert client.handshake().status == 101
            client.send_frame(TEXT, b'hello')
            assert client.receive_frame() == Frame(TEXT, b'hello')
            client.send_close(1000, 'bye\nINFO')
            client.read_to_eof()
        with RawClient(server, '/chat', (*RFC_6455, ('Origin', 'http://evil.example'))) as client:
            assert client.handshake().status == 403
        with RawClient(server, '/chat', RFC_6455) as client:
            assert client.handshake().status == 101
            server.process.popen.terminate()
            assert client.receive_frame().code == 1001
            client.send_close(1001)
            client.read_to_eof()
        expected = [
            r'INFO faye_websocket.server open /chat%0AINFO from 127.0.0.1:\d+: hybi-13',
            r"INFO faye_websocket.server closed /chat%0AINFO from 127.0.0.1:\d+: 1000 'bye\\nINFO' by peer after \d+\.\d{3} s, "
            r'received 1 messages \(27 bytes\), sent 1 messages \(140 bytes\)',
            r"INFO faye_websocket.server refused /chat from 127.0.0.1:\d+: 403 'this origin is not allowed'",
            r'INFO faye_websocket.server open /chat from 127.0.0.1:\d+: hybi-13',
            r"INFO faye_websocket.server closed /chat from 127.0.0.1:\d+: 1001 '' by faye_websocket after .*",
        ]
        wait_until(lambda: len(of_sockets(server.error_log())) >= len(expected), 'the log')
        log = of_sockets(server.error_log())
        for line, pattern in zip(log, expected, strict=True):
            assert re.fullmatch(pattern, line)
        assert 'secret' not in '\n'.join(log)


def of_sockets(log: str) -> list[str]:
    return [line for line in log.splitlines() if 'faye_websocket.server' in line]
