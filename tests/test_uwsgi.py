"""The adapter for uWSGI, with something in the place of uWSGI's own module."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gevent import socket

from faye_websocket import UnsupportedServer
from faye_websocket.transport import take_out
from faye_websocket.uwsgi import take
from tests.support.local import settle

ENVIRON = {'uwsgi.version': b'2.0.31'}


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, Any]]:
    """The descriptor that uWSGI serves, and the client's socket."""
    server, client = socket.socketpair()
    descriptor = os.dup(server.fileno())
    server.close()
    module = SimpleNamespace(loop=b'gevent', connection_fd=lambda: descriptor)
    monkeypatch.setitem(sys.modules, 'uwsgi', module)  # type: ignore[arg-type]
    with client:
        client.settimeout(5)
        yield descriptor, client


def test_leaves_other_servers_alone() -> None:
    assert take({'SERVER_SOFTWARE': 'gevent/26.9'}) is None


@pytest.mark.parametrize('module', [SimpleNamespace(), SimpleNamespace(loop=b'asyncio')])
def test_needs_the_gevent_loop(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:  # H6
    monkeypatch.setitem(sys.modules, 'uwsgi', module)
    with pytest.raises(UnsupportedServer, match='this uWSGI does not run on gevent: start it with --gevent 100'):
        take(ENVIRON)


def test_takes_the_connection(connection: tuple[int, Any]) -> None:
    descriptor, client = connection
    found = take(ENVIRON)
    assert found is not None
    sock, received = found
    assert received == b''
    with sock:
        sock.sendall(b'hello')
        assert client.recv(5) == b'hello'
    os.close(descriptor)
    assert client.recv(1) == b''


def test_passes_on_what_the_server_writes_and_lets_it_read_the_end(connection: tuple[int, Any]) -> None:
    descriptor, client = connection
    heads: list[bytes] = []
    found = take(ENVIRON)
    assert found is not None
    transport = take_out(found[0], heads.append)
    os.write(descriptor, b'HTTP/1.1 101 Switching Protocols\r\nSet-Cookie: a=1\r\n\r\n')
    assert os.read(descriptor, 1) == b''
    os.close(descriptor)
    settle()
    assert heads == [b'HTTP/1.1 101 Switching Protocols\r\nSet-Cookie: a=1\r\n\r\n']
    transport.send(b'alone')
    transport.close()
    assert client.recv(100) == b'alone'
    assert client.recv(1) == b''
