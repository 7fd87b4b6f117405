"""A client for tests, which is connected to a WSGI application in memory.

    def test_echo():
        with connect(app, '/echo') as ws:
            ws.send('hello')
            assert ws.receive(timeout=1) == 'hello'

There is no port, and no server to start. Client and application are connected by a pair
of sockets. gevent.pywsgi's request handler calls the application, as in production: it
gets a real ``environ``, and its responses are written by the rules of HTTP.
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
# The client's address, as the application sees it.
_ADDRESS = ('127.0.0.1', 0)


class JoinedClient(Client):
    """A client that ``connect`` has made.

    At the end of a ``with`` block it is closed, and with it the application's socket.
    """

    __slots__ = ()

    def __enter__(self: Self) -> Self:
        # Unlike Client, do not raise if the handshake was refused: the test may inspect
        # it.
        return self

    def wait_while(self, ready_state: int) -> None:
        """Let the application run while the socket is in this state."""
        # Do not wait by a listener: it would consume the event, and the handlers that
        # the test sets later would miss it.
        while self.ready_state == ready_state:
            gevent.sleep(0.001)


def connect(
    app: Callable[..., Iterable[bytes]],
    path: str = '/',
    *,
    refused: bool = False,
    **client_options: Any,
) -> JoinedClient:
    """Return a client that is connected to the application.

    ``path`` may have a query. A whole URL, such as ``'ws://shop.example/basket?id=1'``,
    sets another host than ``localhost``. The other options are those of ``Client``.
    When the client is closed, nothing of it remains.

    Raise HandshakeError, with the status and the body in its text, if the application
    refuses the handshake. With ``refused=True``, return the client instead; its
    ``status``, ``headers`` and ``body`` are those of the response. Raise ValueError for
    a URL that does not begin with ``ws://``.
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
        # The application ended the connection without a response. Raise the client's
        # error.
        client.receive()
    body = client.body.decode(errors='replace').strip()
    raise HandshakeError(
        str(client.status), f'the application refused the handshake: {client.status} {body}'
    )


def _serve(app: Callable[..., Iterable[bytes]], sock: Any) -> None:
    """Serve requests on a connected socket."""
    with sock:
        WSGIServer(_ADDRESS, app, log=None, environ=dict(_ENVIRON)).handle(sock, _ADDRESS)
