"""The request for a tunnel, and the reactions to the proxy's responses."""

from __future__ import annotations

from typing import Any

import pytest

from faye_websocket.driver.proxy import Proxy
from tests.conftest import Cut
from tests.support.recorder import Recorder


def started(headers: Any = None) -> tuple[Proxy, Recorder]:
    """Return a tunnel that was requested, and its recorder with an empty log."""
    io = Recorder({})
    tunnel = Proxy(io, 'example.com:443', headers)
    io.watch(tunnel)
    tunnel.start()
    io.log.clear()
    return tunnel, io


class TestRequest:
    @pytest.mark.proves('K5')
    def test_is_http_1_1_with_a_host(self) -> None:
        io = Recorder({})
        Proxy(io, '[::1]:80', {'Proxy-Authorization': 'Basic eA=='}).start()
        assert io.log == [
            ('write', b'CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\nProxy-Authorization: Basic eA==\r\n\r\n')]

    @pytest.mark.proves('S7')
    @pytest.mark.parametrize('value', ['a\r\nB: c', 'a\n', 'a\0'])
    def test_refuses_headers_that_end_their_line(self, value: str) -> None:
        with pytest.raises(ValueError, match=r'^headers: '):
            started({'X': value})


class TestAnswer:
    @pytest.mark.parametrize('status', [200, 201, 299])
    def test_is_a_tunnel(self, chunks: Cut, status: int) -> None:
        tunnel, io = started()
        for chunk in chunks(f'HTTP/1.1 {status} Fine\r\nVia: x\r\n\r\n'.encode()):
            tunnel.parse(chunk)
        assert io.log == [('connect',)]
        assert (tunnel.status, tunnel.headers) == (status, [('Via', 'x')])
        tunnel.parse(b'not for the tunnel')
        tunnel.end()
        assert io.log == [('connect',)]

    @pytest.mark.proves('K9')
    @pytest.mark.parametrize('interim', [1, 16])
    def test_may_follow_interim_responses(
        self, chunks: Cut, interim: int
    ) -> None:
        tunnel, io = started()
        for chunk in chunks(
            b'HTTP/1.1 100 Continue\r\nA: b\r\n\r\n' * interim
            + b'HTTP/1.1 200 Fine\r\nVia: x,\r\n y\r\n\r\n'
        ):
            tunnel.parse(chunk)
        assert (io.log, tunnel.status, tunnel.headers) == ([('connect',)], 200, [('Via', 'x, y')])

    @pytest.mark.proves('S9')
    def test_may_not_follow_any_number_of_them(self, chunks: Cut) -> None:
        tunnel, io = started()
        for chunk in chunks(
            b'HTTP/1.1 100 Continue\r\n\r\n' * 17 + b'HTTP/1.1 200 Fine\r\n\r\n'
        ):
            tunnel.parse(chunk)
        assert io.log == [('error', 'HandshakeError', 'more than 16 interim responses, the last with status 100')]

    def test_may_be_followed_by_the_first_bytes_of_the_server(self) -> None:
        tunnel, _ = started()
        tunnel.parse(b'HTTP/1.1 200 Fine\r\n\r\nearly')
        assert tunnel.rest == b'early'

    @pytest.mark.proves('K5')
    @pytest.mark.parametrize('status', ['407 Proxy Authentication Required', '502 Bad Gateway', '101 What', '300 Go', '403'])
    def test_is_a_refusal(self, chunks: Cut, status: str) -> None:
        tunnel, io = started()
        for chunk in chunks(f'HTTP/1.1 {status}\r\nProxy-Authenticate: Basic\r\n\r\n'.encode()):
            tunnel.parse(chunk)
        assert io.log == [('error', 'HandshakeError', f'the proxy answered {status}')]
        assert (tunnel.status, tunnel.headers) == (int(status[:3]), [('Proxy-Authenticate', 'Basic')])
        tunnel.end()
        assert len(io.log) == 1

    @pytest.mark.proves('S9')
    @pytest.mark.parametrize(('answer', 'text'), [
        (b'SOCKS\r\n\r\n', "expected an HTTP response, got 'SOCKS'"),
        (b'x' * 32768, 'head is longer than 32768 bytes'),
    ])
    def test_is_garbage(self, chunks: Cut, answer: bytes, text: str) -> None:
        tunnel, io = started()
        for chunk in chunks(answer):
            tunnel.parse(chunk)
        tunnel.end()
        assert io.log == [('error', 'HandshakeError', text)]
        assert tunnel.status is None

    @pytest.mark.parametrize('answer', [b'', b'HTTP/1.1 200'])
    def test_is_missing(self, answer: bytes) -> None:
        tunnel, io = started()
        tunnel.parse(answer)
        tunnel.end()
        tunnel.end()
        assert io.log == [('error', 'HandshakeError', 'the proxy closed the connection before it answered')]
