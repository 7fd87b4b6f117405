"""For tests: a client joined to a WSGI application in memory, without a port and without a server to start.

    def test_echo():
        with connect(app, '/echo') as ws:
            ws.send('hello')
            assert ws.receive(timeout=1) == 'hello'

The two are joined by a pair of sockets, and the application gets its request from gevent.pywsgi's request handler, so it is
treated as in production: there is a real ``environ``, and responses are written by the rules of HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import gevent
import gevent.socket
from gevent.pywsgi import WSGIServer

from .client import Client
from .errors import HandshakeError

__all__ = ['JoinedClient', 'connect']

Self = TypeVar('Self', bound='JoinedClient')

_ENVIRON = {'SERVER_NAME': 'localhost', 'SERVER_PORT': '80'}
# What the application sees as the client's.
_ADDRESS = ('127.0.0.1', 0)


class JoinedClient(Client):
    """A client that ``connect`` has made; at the end of a ``with`` block it is closed, and so is the application's socket."""

    __slots__ = ()

    def __enter__(self: Self) -> Self:
        # One whose handshake was refused is there to be looked at.
        return self

    def wait_while(self, ready_state: int) -> None:
        """Lets the application work while the socket is in this state."""
        # A listener could tell when it changes, but would take the event away from handlers that the test has yet to set.
        while self.ready_state == ready_state:
            gevent.sleep(0.001)


def connect(
    app: Callable[..., Iterable[bytes]], path: str = '/', *, refused: bool = False, **client_options: Any
) -> JoinedClient:
    """Return an open client of the application.

    ``path`` may have a query; as a whole URL, such as ``'ws://shop.example/basket?id=1'``, it names another host than
    ``localhost``. The options are those of ``Client``. Close it, and nothing is left.

    Raises HandshakeError, with the status and the body in its text, when the application refuses the handshake. With
    ``refused=True`` it returns the client instead, whose ``status``, ``headers`` and ``body`` show the refusal.
    """
    url = f'ws://localhost{path}' if path.startswith('/') else path
    if not url.startswith('ws://'):
        raise ValueError(f'path: expected a path or a ws:// URL, got {path!r}')
    here, there = gevent.socket.socketpair()
    try:
        client = JoinedClient(url, socket=here, **client_options)
    except BaseException:
        here.close()
        there.close()
        raise
    gevent.spawn(_serve, app, there)
    client.wait_while(client.CONNECTING)
    if client.status != 101 and not refused:
        _raise_refusal(client)
    return client


def _raise_refusal(client: JoinedClient) -> None:
    if client.status is None:
        # The application has ended the connection without a response.
        client.receive()
    body = client.body.decode(errors='replace').strip()
    raise HandshakeError(str(client.status), f'the application refused the handshake: {client.status} {body}')


def _serve(app: Callable[..., Iterable[bytes]], sock: Any) -> None:
    """Answers the requests on a connected socket."""
    with sock:
        WSGIServer(_ADDRESS, app, log=None, environ=dict(_ENVIRON)).handle(sock, _ADDRESS)
