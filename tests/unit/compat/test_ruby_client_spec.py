"""The cases of faye-websocket-ruby's client spec, and aliases with Ruby's names.

Ruby's spec runs Puma on every address, Thin in plain text, and Thin with TLS (which it
skips today), each without and with a proxy: 7 cases in 6 settings. Here gevent.pywsgi
runs in these settings.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import gevent
import gevent.socket
import gevent.ssl
import pytest
from gevent.pywsgi import WSGIServer

from faye_websocket import Client, EventSource, WebSocket
from tests.support.certificates import session_certificate
from tests.support.local import (
    Record,
    Response,
    hub_errors,
    joined,
    make_environ,
    serve,
    settle,
    wait_until,
)
from tests.support.scripted import pump, scripted

PROTOCOLS = ['foo', 'echo']


class Setting(NamedTuple):
    """The URL of a server, a URL without one, and the options of the client."""

    socket_url: str
    blocked_url: str
    options: dict[str, Any]

    def open_socket(self, url: str) -> tuple[Client, Record]:
        """Return a client, once it is open or closed, and the record of its events."""
        ws = Client(url, PROTOCOLS, **self.options)
        record = Record(ws)  # type: ignore[arg-type]
        wait_until(lambda: record.of('open') or record.of('close'))
        return ws, record


def tunnel(sock: Any, head: bytes) -> None:
    """Connect the socket to the target of CONNECT until either end closes."""
    host, _, port = head.split(b' ')[1].decode().rpartition(':')
    there = gevent.socket.create_connection((host, int(port)))
    pumps = [gevent.spawn(pump, sock, there), gevent.spawn(pump, there, sock)]
    try:
        sock.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
        gevent.joinall(pumps, count=1)
    finally:
        gevent.killall(pumps)
        there.close()


@pytest.fixture(params=['no proxy', 'a proxy'])
def proxy(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The URL of the proxy, or None."""
    if request.param == 'no proxy':
        yield None
        return
    with scripted(tunnel) as server:
        yield server.origin


def echo(environ: dict[str, Any], start_response: Any) -> Any:
    """Send each message back."""
    ws = WebSocket(environ, ['echo'])
    ws.onmessage = lambda event: ws.send(event.data)
    return ws(environ, start_response)


@pytest.fixture(params=['on 0.0.0.0', 'plain', 'secure'])
def setting(request: pytest.FixtureRequest, proxy: str | None) -> Iterator[Setting]:
    """A server that echoes, with and without TLS."""
    certificate = session_certificate()
    is_secure = request.param == 'secure'
    context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certfile, certificate.keyfile)
    tls = {'ssl_context': context} if is_secure else {}
    server = WSGIServer(('0.0.0.0', 0), echo, log=None, error_log=io.StringIO(), **tls)
    server.start()
    try:
        with hub_errors():
            urls = [f'{scheme}://localhost:{server.server_port}/' for scheme in ('ws', 'wss')]
            options = {'proxy': {'origin': proxy}, 'tls': {'root_cert_file': certificate.authority}}
            if request.param == 'on 0.0.0.0':
                # Port 1 has no server.
                yield Setting(f'ws://0.0.0.0:{server.server_port}/', 'ws://0.0.0.0:1/', options)
            else:
                yield Setting(urls[is_secure], urls[not is_secure], options)
    finally:
        server.stop(timeout=1)


class TestSocketClient:
    @pytest.mark.proves('Y1')
    def test_can_open_a_connection(self, setting: Setting) -> None:
        ws, record = setting.open_socket(setting.socket_url)
        assert (record.types, ws.status, ws.headers['Upgrade'], ws.protocol) == (['open'], 101, 'websocket', 'echo')
        ws.close()

    @pytest.mark.proves('Y1')
    def test_cannot_open_a_connection_to_the_wrong_host(self, setting: Setting) -> None:
        _, record = setting.open_socket(setting.blocked_url)
        assert record.types == ['error', 'close']

    @pytest.mark.proves('Y1')
    def test_can_close_the_connection(self, setting: Setting) -> None:
        ws, record = setting.open_socket(setting.socket_url)
        ws.close()
        wait_until(lambda: record.of('close'))
        assert record.types == ['open', 'close']

    @pytest.mark.proves('Y1')
    @pytest.mark.parametrize(('case', 'message', 'response'), [
        ('can send and receive messages', 'I expect this to be echoed', 'I expect this to be echoed'),
        ('sends numbers as strings', 13, '13'),
    ])
    def test_in_the_open_state(self, setting: Setting, case: str, message: Any, response: str) -> None:
        ws, record = setting.open_socket(setting.socket_url)
        ws.send(message)
        wait_until(lambda: record.messages)
        assert record.messages == [response]
        ws.close()

    @pytest.mark.proves('Y1')
    def test_in_the_closed_state_cannot_send_and_receive_messages(self, setting: Setting) -> None:
        ws, record = setting.open_socket(setting.socket_url)
        ws.close()
        wait_until(lambda: record.of('close'))
        assert ws.send('I expect this to be echoed') is False
        settle()
        assert record.messages == []

    @pytest.mark.proves('Y1')
    def test_can_be_closed_before_connecting(self, setting: Setting) -> None:
        ws = Client(setting.socket_url, PROTOCOLS, **setting.options)
        record = Record(ws)  # type: ignore[arg-type]
        ws.close()
        wait_until(lambda: record.of('close'))
        settle()
        assert record.of('open') == []


class TestNames:
    @pytest.mark.proves('Y2')
    def test_rack_response_returns_the_response(self) -> None:
        with joined() as pair:
            assert list(pair.ws.rack_response(pair.response)) == []
            assert pair.response.status.startswith('101 ')
        response = Response()
        EventSource(make_environ(headers=[('Accept', 'text/event-stream')])).rack_response(response)
        assert response.status == '200 OK'

    @pytest.mark.proves('Y2')
    def test_env_is_an_alias_of_environ(self) -> None:
        environ = make_environ()
        ws = WebSocket(environ)
        assert ws.env is ws.environ

    @pytest.mark.proves('Y2')
    def test_tls_accepts_rubys_names(self) -> None:
        certificate = session_certificate()
        options = {
            'cert_chain_file': certificate.certfile,
            'private_key_file': certificate.keyfile,
            'sni_hostname': 'example.com',
        }
        Client('ws://127.0.0.1:1/', tls=options).close()
        with pytest.raises(ValueError, match='key_file needs cert_file'):
            Client('ws://127.0.0.1:1/', tls={'private_key_file': certificate.keyfile})
        with pytest.raises(TypeError, match='expected a str as server_hostname, got 5'):
            Client('ws://127.0.0.1:1/', tls={'sni_hostname': 5})

    @pytest.mark.proves('Y2')
    def test_a_proxy_whose_origin_is_none_is_not_used(self) -> None:
        with serve() as server, Client(f'ws://127.0.0.1:{server.wsgi.server_port}/', proxy={'origin': None}) as ws:
            assert ws.headers['upgrade'] == ws.headers['Upgrade'] == 'websocket'
