"""hijack: takes the connection of a request out of the hands of the WSGI server.

In goes ``environ``; out come the connected socket, as something a stream can work with, and the bytes that the server had read
past the request's head. The server is left with a stub that reads as a connection at its end and swallows what is written:
it finishes the request in its own way, logs it, lets go of its greenlet and its buffers, and nothing of that reaches the
peer. One adapter for each server knows where that server keeps its socket;
``accepted`` is the response that it is left with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from ..errors import UnsupportedServer
from ..io.transport import OnHead, Transport, take_out
from . import gunicorn, pywsgi, uwsgi

__all__ = [
    'ADAPTERS',
    'UNSENT_HEADERS',
    'Adapter',
    'TakeFound',
    'accepted',
    'find_adapter',
    'hijack',
    'is_adapter',
    'register_adapter',
]

# The server's gevent socket, and the bytes that were read past the head, or a function
# that returns them once the socket is out of its place.
Found = tuple[Any, bytes | Callable[[], bytes]]
Take = Callable[[Mapping[str, Any]], Found | None]
IsFor = Callable[[Mapping[str, Any]], object]
# Takes one request's socket; None where it is not there after all.
TakeFound = Callable[[], Found | None]


class Adapter(NamedTuple):
    """How to get at the sockets of a server.

    ``is_for`` tells whether a request is from it, and changes nothing. Without one,
    ``take`` is called to find out, and what it has returned is kept.
    """

    take: Take
    is_for: IsFor | None

    def find(self, environ: Mapping[str, Any]) -> TakeFound | None:
        """Return what takes the socket of this request, or None if it is another's."""
        if self.is_for is not None:
            return partial(self.take, environ) if self.is_for(environ) else None
        found = self.take(environ)
        return None if found is None else lambda: found


# What has the ``start_response`` of these servers, and writes a head unless its ``headers_sent`` is true.
_RESPONDERS = frozenset(
    {'gevent.pywsgi.WSGIHandler', 'gunicorn.http.wsgi.Response', 'gunicorn.workers.ggevent.PyWSGIHandler'}
)
# For whoever checks the response on its way: wsgiref.validate insists on a type, and
# Werkzeug's LintMiddleware on a length. The head that goes out is the driver's.
UNSENT_HEADERS = (('Content-Type', 'text/plain'), ('Content-Length', '0'))
_SUPPORTED = (
    'faye_websocket runs under gevent.pywsgi (faye-websocket serve MODULE:APP), under gunicorn with -k gevent or '
    '-k gevent_pywsgi, and under uWSGI with --gevent; register_adapter teaches it another server'
)


def find_adapter(environ: Mapping[str, Any]) -> TakeFound | None:
    """Return what takes the socket of this request, or None if no adapter knows it.

    Each adapter is asked once, in the order of their registration, up to the one that
    knows the request.
    """
    # A stream of HTTP/2 shares its connection with others.
    if _is_http_2(environ):
        return None
    for adapter in tuple(ADAPTERS.values()):
        take = adapter.find(environ)
        if take is not None:
            return take
    return None


def hijack(
    environ: Mapping[str, Any],
    on_head: OnHead | None = None,
    take: TakeFound | None = None,
) -> tuple[Transport, bytes]:
    """Return the connection behind ``environ``, and the bytes already read from it.

    ``on_head`` is called with what the server answers, for which it has no socket any
    more; see ``take_out``. ``take`` is what ``find_adapter`` has returned, where it was
    asked before. Raises UnsupportedServer, naming the fix; RuntimeError if the socket
    was taken before.
    """
    take = take or find_adapter(environ)
    found = take() if take is not None else None
    if found is None:
        raise UnsupportedServer(_explain(environ))
    sock, received = found
    transport = take_out(sock, on_head)
    return transport, received if isinstance(received, bytes) else received()


def accepted(start_response: Callable[..., Any], accept: Callable[[], object]) -> Iterable[bytes]:
    """The response to a handshake that is accepted, from a server whose socket is taken: a line in its log, and no body.

    ``accept`` is called once the server itself is at it, if nobody stands between them; otherwise the server writes a head,
    which carries what was added on the way, and ``on_head`` is told.
    """
    server = getattr(start_response, '__self__', None)
    if f'{type(server).__module__}.{type(server).__qualname__}' in _RESPONDERS:
        start_response('101 Switching Protocols', [])
        return _NoBody(server, accept)
    start_response('101 Switching Protocols', list(UNSENT_HEADERS))
    return []


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


def register_adapter(name: str, take: Take, *, is_for: IsFor | None = None) -> None:
    """Teach the library a new server.

    ``take(environ)`` returns ``None`` for a request that is not from this server;
    otherwise the connection's gevent socket, and the bytes that the server has read
    past the request's head (or a function that returns them, called once the socket is
    out of the server's hands). Adapters are asked in the order of their registration; a
    known name is replaced.

    ``take`` is called once: for a WebSocket when its handshake is made, for an event
    source when that is made, because one without a socket is another thing. If ``take``
    does more than look, give ``is_for(environ)`` too, which returns whether a request
    is from this server, and changes nothing. Then ``take`` is called for such requests
    only, and not before the socket is used.
    """
    for option, value in (('take', take), ('is_for', is_for)):
        if not callable(value) and (value is not None or option == 'take'):
            raise TypeError(f'{option}: expected a callable, got {value!r}')
    ADAPTERS[name] = Adapter(take, is_for)


def is_adapter(name: str) -> bool:
    """Whether a server of this name is known."""
    return name in ADAPTERS


def _is_http_2(environ: Mapping[str, Any]) -> bool:
    return str(environ.get('SERVER_PROTOCOL', '')).startswith('HTTP/2')


def _explain(environ: Mapping[str, Any]) -> str:
    """Return why there is no socket to take, as far as it can be known."""
    if _is_http_2(environ):
        return (
            'an HTTP/2 stream cannot become a WebSocket: '
            'have the proxy or the server speak HTTP/1.1'
        )
    if gunicorn.has_gevent(environ) or pywsgi.is_pywsgi(environ):
        return _explain_input(environ)
    if 'gunicorn.socket' in environ:
        return f'this gunicorn worker does not run on gevent: start gunicorn with -k gevent. {_SUPPORTED}'
    if uwsgi.is_uwsgi(environ):
        return f'{uwsgi.explain()}. {_SUPPORTED}'
    if 'werkzeug.socket' in environ:
        return f"Werkzeug's development server does not run on gevent. {_SUPPORTED}"
    return f'this WSGI server ({environ.get("SERVER_SOFTWARE", "unknown")}) gives no access to its socket. {_SUPPORTED}'


def _explain_input(environ: Mapping[str, Any]) -> str:
    """Return what is wrong where the server is one of those that have a socket."""
    kind = type(environ.get('wsgi.input'))
    name = f'{kind.__module__.lstrip("_")}.{kind.__qualname__}'
    found = f'replaced by {name}' if 'wsgi.input' in environ else 'removed'
    return (
        f"wsgi.input was {found}, and the server's socket is neither behind it nor to "
        'be found from this greenlet, in which the server does not run the '
        'application: have the middleware leave wsgi.input alone, or make the '
        'handshake in the greenlet of the request'
    )


ADAPTERS: dict[str, Adapter] = {
    'gunicorn': Adapter(gunicorn.find_socket, None),
    'gevent': Adapter(pywsgi.find_socket, None),
    'uwsgi': Adapter(uwsgi.take, uwsgi.has_socket),
}
