"""The adapter for uWSGI, with a fake in place of uWSGI's own module."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gevent import socket

from faye_websocket import EventSource, UnsupportedServer
from faye_websocket.eventsource.response_carrier import ResponseCarrier
from faye_websocket.io.connection import Connection
from faye_websocket.io.takeover import detach_leaving_stub
from faye_websocket.servers.hijack import hijack
from faye_websocket.servers.uwsgi import UWSGI
from tests.support.eventstream import ACCEPT
from tests.support.inside import carrier_of
from tests.support.local import make_environ, settle

ENVIRON = {'uwsgi.version': b'2.0.31'}
OTHERS = [SimpleNamespace(), SimpleNamespace(loop=b'asyncio')]


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, Any]]:
    """Return the descriptor that uWSGI serves, and the client's socket."""
    server, client = socket.socketpair()
    descriptor = os.dup(server.fileno())
    server.close()
    module = SimpleNamespace(loop=b'gevent', connection_fd=lambda: descriptor)
    monkeypatch.setitem(sys.modules, 'uwsgi', module)  # type: ignore[arg-type]
    with client:
        client.settimeout(5)
        yield descriptor, client


def test_leaves_other_servers_alone() -> None:
    assert not UWSGI.is_for({'SERVER_SOFTWARE': 'gevent/26.9'})


@pytest.mark.proves('H6')
@pytest.mark.parametrize(('scheme', 'option', 'expected'), [
    ('http', 'https-socket', True), ('https', 'http-socket', True), ('https', 'https-socket', False)])
def test_takes_no_connection_on_which_uwsgi_speaks_tls(
        monkeypatch: pytest.MonkeyPatch, scheme: str, option: str, expected: bool) -> None:
    module = SimpleNamespace(loop=b'gevent', opt={option: b'127.0.0.1:443'})
    monkeypatch.setitem(sys.modules, 'uwsgi', module)  # type: ignore[arg-type]
    environ = make_environ(None, ACCEPT, **{**ENVIRON, 'wsgi.url_scheme': scheme})
    assert UWSGI.is_for(environ) is expected
    if not expected:
        assert isinstance(carrier_of(EventSource(environ)), ResponseCarrier)
        with pytest.raises(UnsupportedServer, match="^the connection is in the hands of uWSGI's own TLS"):
            hijack(environ)


@pytest.mark.proves('H6')
@pytest.mark.parametrize('module', OTHERS)
def test_needs_the_gevent_loop(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    monkeypatch.setitem(sys.modules, 'uwsgi', module)
    with pytest.raises(UnsupportedServer, match='^this uWSGI does not run on gevent: start it with --gevent 100'):
        hijack(ENVIRON)


@pytest.mark.proves('E7')
@pytest.mark.parametrize('module', OTHERS)
def test_is_no_obstacle_to_events_without(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    monkeypatch.setitem(sys.modules, 'uwsgi', module)
    assert isinstance(carrier_of(EventSource(make_environ(None, ACCEPT, **ENVIRON))), ResponseCarrier)


def test_an_event_source_takes_the_connection_with_its_response(connection: tuple[int, Any]) -> None:
    descriptor, client = connection
    es = EventSource(make_environ(None, ACCEPT, **ENVIRON))
    assert isinstance(carrier_of(es), Connection)
    # The application may return another response.
    os.write(descriptor, b'not taken')
    assert client.recv(100) == b'not taken'
    es(ENVIRON, lambda status, headers: None)
    os.write(descriptor, b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n')
    os.close(descriptor)
    es.send('hello')
    es.close()
    settle()
    assert client.recv(1000).endswith(b'\r\nConnection: close\r\n\r\nretry: 5000\r\ndata: hello\r\n\r\n')
    client.close()
    settle()


def test_takes_the_connection(connection: tuple[int, Any]) -> None:
    descriptor, client = connection
    sock, received = UWSGI.find_socket(ENVIRON)
    assert received == b''
    with sock:
        sock.sendall(b'hello')
        assert client.recv(5) == b'hello'
    os.close(descriptor)
    assert client.recv(1) == b''


def test_passes_on_what_the_server_writes_and_lets_it_read_the_end(connection: tuple[int, Any]) -> None:
    descriptor, client = connection
    heads: list[bytes] = []
    sock, _ = UWSGI.find_socket(ENVIRON)
    transport = detach_leaving_stub(sock, heads.append)
    os.write(descriptor, b'HTTP/1.1 101 Switching Protocols\r\nSet-Cookie: a=1\r\n\r\n')
    assert os.read(descriptor, 1) == b''
    os.close(descriptor)
    settle()
    assert heads == [b'HTTP/1.1 101 Switching Protocols\r\nSet-Cookie: a=1\r\n\r\n']
    transport.send(b'alone')
    transport.close()
    assert client.recv(100) == b'alone'
    assert client.recv(1) == b''


def test_takes_a_connection_once(connection: tuple[int, Any]) -> None:
    descriptor, client = connection
    transport, _ = hijack(ENVIRON)
    with pytest.raises(RuntimeError, match="^this request's connection was taken before"):
        hijack(ENVIRON)
    # Its number may be that of another connection, before the end of the first one is
    # noticed.
    server, another = socket.socketpair()
    with server, another:
        os.dup2(server.fileno(), descriptor)
        hijack(ENVIRON)[0].close()
    os.close(descriptor)
    settle()
    transport.close()
    assert client.recv(1) == b''


def test_passes_nothing_on_to_a_client_that_is_gone(connection: tuple[int, Any]) -> None:
    descriptor, client = connection
    sock, _ = UWSGI.find_socket(ENVIRON)
    client.close()
    os.write(descriptor, b'1' * 10)
    os.close(descriptor)
    settle()
    assert sock.fileno() == -1
