"""hijack: takes the connection of a request out of the hands of the WSGI server.

In goes ``environ``; out come the connected socket, as something a stream can work with, and the bytes that the server had read
past the request's head. The server is left with a stub that reads as a connection at its end and swallows what is written:
it finishes the request in its own way, logs it, lets go of its greenlet and its buffers, and nothing of that reaches the
peer. One function for each server knows where that server keeps its socket; ``accepted`` is the response that it is left with.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import gevent.socket

from . import uwsgi
from .errors import UnsupportedServer
from .transport import OnHead, Transport, take_out

__all__ = ['ADAPTERS', 'accepted', 'hijack', 'is_adapter', 'register_adapter']

# What an adapter answers: the server's gevent socket, and the bytes that were read past the head, or a function that gets at
# them once the socket is out of its place. None if the request is not from its server.
Found = tuple[Any, bytes | Callable[[], bytes]]
Take = Callable[[Mapping[str, Any]], Found | None]

# What has the ``start_response`` of these servers, and writes a head unless its ``headers_sent`` is true.
_RESPONDERS = frozenset(
    {'gevent.pywsgi.WSGIHandler', 'gunicorn.http.wsgi.Response', 'gunicorn.workers.ggevent.PyWSGIHandler'}
)
_SUPPORTED = (
    'faye_websocket runs under gevent.pywsgi (faye-websocket serve MODULE:APP), under gunicorn with -k gevent or '
    '-k gevent_pywsgi, and under uWSGI with --gevent; register_adapter teaches it another server'
)


def hijack(environ: Mapping[str, Any], on_head: OnHead | None = None) -> tuple[Transport, bytes]:
    """The connection behind ``environ``, and the bytes already read from it. Raises UnsupportedServer, naming the fix.

    ``on_head`` is told what the server answers, for which it has no socket any more; see ``take_out``.
    """
    # A stream of HTTP/2 shares its connection with others.
    if str(environ.get('SERVER_PROTOCOL', '')).startswith('HTTP/2'):
        raise UnsupportedServer('an HTTP/2 stream cannot become a WebSocket: have the proxy or the server speak HTTP/1.1')
    for take in tuple(ADAPTERS.values()):
        found = take(environ)
        if found is not None:
            sock, received = found
            transport = take_out(sock, on_head)
            return transport, received if isinstance(received, bytes) else received()
    raise UnsupportedServer(_explanation(environ))


def accepted(start_response: Callable[..., Any], accept: Callable[[], object]) -> Iterable[bytes]:
    """The response to a handshake that is accepted, from a server whose socket is taken: a line in its log, and no body.

    ``accept`` is called once the server itself is at it, if nobody stands between them; otherwise the server writes a head,
    which carries what was added on the way, and ``on_head`` is told.
    """
    start_response('101 Switching Protocols', [])
    server = getattr(start_response, '__self__', None)
    return _NoBody(server, accept) if f'{type(server).__module__}.{type(server).__qualname__}' in _RESPONDERS else []


class _NoBody:
    """Nothing, by which the server is told that the head is out: to make one for nobody takes a twelfth of a handshake's time.

    Until the server asks for it, a middleware may still put another response in its place.
    """

    __slots__ = ('_accept', '_server')

    def __init__(self, server: Any, accept: Callable[[], object]) -> None:
        self._server = server
        self._accept = accept

    def __iter__(self) -> Iterator[bytes]:
        self._accept()
        # With the latter gevent.pywsgi looks for no other request; gunicorn does not know it.
        self._server.headers_sent = self._server.close_connection = True
        return iter(())


def register_adapter(name: str, take: Take) -> None:
    """Teaches the library a new server.

    ``take(environ)`` answers ``None`` for a request that is not from this server; otherwise the connection's gevent socket, and
    the bytes that the server has read past the request's head (or a function that returns them, called once the socket
    is out of the server's hands). Adapters are asked in the order of their registration; a known name is replaced.
    """
    if not callable(take):
        raise TypeError(f'take: expected a callable, got {take!r}')
    ADAPTERS[name] = take


def is_adapter(name: str) -> bool:
    """Whether a server of this name is known."""
    return name in ADAPTERS


def _take_from_gunicorn(environ: Mapping[str, Any]) -> Found | None:
    """gunicorn -k gevent."""
    sock = environ.get('gunicorn.socket')
    if not isinstance(sock, gevent.socket.socket):
        return None
    unreader = getattr(getattr(environ.get('wsgi.input'), 'reader', None), 'unreader', None)
    return sock, partial(_empty_unreader, unreader)


def _empty_unreader(unreader: Any) -> bytes:
    """What gunicorn's parser has read ahead; nothing is left of it that gunicorn could take for a request."""
    if unreader is None:
        return b''
    received, unreader.buf = unreader.buf.getvalue(), io.BytesIO()
    return bytes(received)


def _take_from_pywsgi(environ: Mapping[str, Any]) -> Found | None:
    """gevent.pywsgi, alone or as gunicorn -k gevent_pywsgi: the socket is behind the file that requests are read from."""
    body = environ.get('wsgi.input')
    reader: Any = getattr(body, 'rfile', body)
    sock = getattr(getattr(reader, 'raw', None), '_sock', None)
    if not isinstance(sock, gevent.socket.socket):
        return None
    # With the stub in the socket's place the file ends where its buffer does.
    return sock, reader.read1


def _explanation(environ: Mapping[str, Any]) -> str:
    """Why there is no socket to take, as far as it can be told."""
    if 'gunicorn.socket' in environ:
        return f'this gunicorn worker does not run on gevent: start gunicorn with -k gevent. {_SUPPORTED}'
    if 'werkzeug.socket' in environ:
        return f"Werkzeug's development server does not run on gevent. {_SUPPORTED}"
    return f'this WSGI server ({environ.get("SERVER_SOFTWARE", "unknown")}) gives no access to its socket. {_SUPPORTED}'


ADAPTERS: dict[str, Take] = {'gunicorn': _take_from_gunicorn, 'gevent': _take_from_pywsgi, 'uwsgi': uwsgi.take}
