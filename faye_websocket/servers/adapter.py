"""Adapter: what the library knows of one WSGI server.

A server is one module of this folder, which has its record. The record says how to get
at the connection of a request, why that may be impossible, and in what the server
differs from others. Nothing that is known of a server stands anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

__all__ = ['SUPPORTED', 'Adapter', 'FindSocket', 'Found', 'IsFor', 'TakeFound', 'explain_input']

# The server's gevent socket, and the bytes that were read past the head, or a function
# that returns them once the socket is out of its place.
Found = tuple[Any, bytes | Callable[[], bytes]]
FindSocket = Callable[[Mapping[str, Any]], Found | None]
IsFor = Callable[[Mapping[str, Any]], object]
Explain = Callable[[Mapping[str, Any]], str | None]
# Returns one request's socket, or None where it is not there after all.
TakeFound = Callable[[], Found | None]

SUPPORTED = (
    'faye_websocket runs under gevent.pywsgi (faye-websocket serve MODULE:APP), under gunicorn with -k gevent or '
    '-k gevent_pywsgi, and under uWSGI with --gevent; for development also under flask run, '
    "Django's runserver and gunicorn with --threads; register_adapter teaches it another server"
)


def _never(environ: Mapping[str, Any]) -> None:
    """Return None, for every request."""


class Adapter(NamedTuple):
    """The record of a server."""

    #: Return the request's socket and the bytes read ahead, or None without a socket.
    find_socket: FindSocket
    #: Return whether a request is from this server and has a socket. It changes
    #: nothing. Where it is None, ``find_socket`` is called to find out, and what it has
    #: returned is kept.
    is_for: IsFor | None = None
    #: Return why a request from this server has no socket; None for another's request.
    explain: Explain = _never
    #: The keys of ``environ`` that belong to the request, and end with it.
    request_keys: frozenset[str] = frozenset()
    #: The classes behind ``start_response`` that write no head when the response's
    #: iterator has set their ``headers_sent``.
    responders: frozenset[str] = frozenset()
    #: Return whether the server empties ``environ`` when the request ends. None is no,
    #: here and below.
    clears_environ: IsFor | None = None
    #: Return whether the server itself decides about the header Connection, and fails
    #: when an application sets it.
    owns_connection_header: IsFor | None = None
    #: Return whether the socket of this request would hold an OS thread of the server.
    holds_thread: IsFor | None = None
    #: A key of ``environ`` that each request from this server has whose socket can be
    #: had; requests without it are not looked at. None where there is no such key.
    key: str | None = None

    def find(self, environ: Mapping[str, Any]) -> TakeFound | None:
        """Return what takes the socket of this request, or None if it is another's."""
        if self.is_for is not None:
            return partial(self.find_socket, environ) if self.is_for(environ) else None
        found = self.find_socket(environ)
        return None if found is None else lambda: found


def explain_input(environ: Mapping[str, Any]) -> str:
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
