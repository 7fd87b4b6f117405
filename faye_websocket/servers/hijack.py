"""hijack: take the connection of a request out of the hands of its WSGI server.

In goes ``environ``; out come the connected socket, as something a stream can work with,
and the bytes that the server has read past the request's head. The server is left with
a stub that reads as a connection at its end and swallows what is written: it finishes
the request in its own way, logs it, lets go of its greenlet and its buffers, and
nothing of that reaches the peer. The adapter of each server knows where that server
keeps its socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..errors import UnsupportedServer
from ..io.takeover import OnHead, detach_leaving_stub
from ..io.transport import Transport
from .adapter import SUPPORTED, Adapter, FindSocket, IsFor, TakeFound
from .gthread import GTHREAD
from .gunicorn import GUNICORN
from .pywsgi import PYWSGI
from .runserver import RUNSERVER
from .threaded import ThreadSocket
from .uwsgi import UWSGI
from .werkzeug import WERKZEUG
from .wsgiref import WSGIREF

__all__ = [
    'ADAPTERS',
    'find_adapter',
    'has_adapter',
    'hijack',
    'lasting_environ',
    'register_adapter',
]

# In the order in which they are asked.
ADAPTERS: dict[str, Adapter] = {
    'gthread': GTHREAD,
    'gunicorn': GUNICORN,
    'werkzeug': WERKZEUG,
    'gevent': PYWSGI,
    'uwsgi': UWSGI,
    'runserver': RUNSERVER,
    'wsgiref': WSGIREF,
}
# Return whether a server will empty the environ of this request. Those of adapters that
# are registered do not.
_CLEARING = tuple(
    adapter.clears_environ for adapter in ADAPTERS.values() if adapter.clears_environ is not None
)


def find_adapter(environ: Mapping[str, Any], *, with_threads: bool = False) -> TakeFound | None:
    """Return what takes the socket of this request, or None if no adapter knows it.

    Each adapter is asked once, in the order of their registration, up to the one that
    knows the request. Adapters whose socket would hold the request's thread are asked
    only ``with_threads``.
    """
    # A stream of HTTP/2 shares its connection with others.
    if environ.get('SERVER_PROTOCOL') != 'HTTP/1.1' and _is_http_2(environ):
        return None
    for adapter in tuple(ADAPTERS.values()):
        if adapter.key is not None and adapter.key not in environ:
            continue
        if not with_threads and adapter.holds_thread and adapter.holds_thread(environ):
            continue
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

    ``on_head`` is called with the head that the server writes next, for which it has no
    socket any more; see ``detach_leaving_stub``. ``take`` is what ``find_adapter`` has
    returned, where it was asked before. Raises UnsupportedServer, naming the fix;
    RuntimeError if the socket was taken before.
    """
    take = take or find_adapter(environ, with_threads=True)
    found = take() if take is not None else None
    if found is None:
        raise UnsupportedServer(_explain(environ))
    sock, received = found
    is_thread = isinstance(sock, ThreadSocket)
    take_out = sock.detach_leaving_stub if is_thread else partial(detach_leaving_stub, sock)
    transport: Transport = take_out(on_head)
    return transport, received if isinstance(received, bytes) else received()


def lasting_environ(environ: dict[str, Any]) -> dict[str, Any]:
    """Return ``environ``, or a copy of it where its server empties it at the end."""
    for is_cleared in _CLEARING:
        if is_cleared(environ):
            return dict(environ)
    return environ


def register_adapter(name: str, take: FindSocket, *, is_for: IsFor | None = None) -> None:
    """Teach the library a new server.

    ``take(environ)`` returns ``None`` for a request that is not from this server;
    otherwise the connection's gevent socket, and the bytes that the server has read
    past the request's head (or a function that returns them, called once the socket is
    out of the server's hands). Adapters are asked in the order of their registration; a
    known name is replaced.

    ``take`` is called once: at the handshake of a WebSocket, or when an event source is
    made, which works differently without a socket. If ``take`` does more than look,
    pass ``is_for(environ)`` too, which returns whether a request is from this server,
    and changes nothing. Then ``take`` is called for such requests only, and not before
    the socket is used. Raises TypeError for an argument that is not callable.
    """
    for option, value in (('take', take), ('is_for', is_for)):
        if not callable(value) and (value is not None or option == 'take'):
            raise TypeError(f'{option}: expected a callable, got {value!r}')
    ADAPTERS[name] = Adapter(take, is_for)


def has_adapter(name: str) -> bool:
    """Return whether a server of this name is known."""
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
    for adapter in tuple(ADAPTERS.values()):
        reason = adapter.explain(environ)
        if reason is not None:
            return reason
    software = environ.get('SERVER_SOFTWARE', 'unknown')
    return f'this WSGI server ({software}) gives no access to its socket. {SUPPORTED}'
