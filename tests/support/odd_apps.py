"""Applications and middleware that make the hand-over of the socket difficult.

A path is ``/MIDDLEWARE/APPLICATION``, followed by anything: see ``MIDDLEWARE`` and
``APPLICATIONS``.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable
from wsgiref.validate import validator

from tests.support.apps import (
    Application,
    Environ,
    StartResponse,
    control,
    hello,
    in_generator,
)

#: The early hints of a request.
HINTS = [('Link', '</style.css>; rel=preload; as=style')]


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Run the application and the middleware that the path names."""
    names = [*environ['PATH_INFO'].split('/'), '', ''][1:3]
    if names[0] not in MIDDLEWARE or names[1] not in APPLICATIONS:
        return hello(start_response)
    return MIDDLEWARE[names[0]](APPLICATIONS[names[1]])(environ, start_response)


def greenlet(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Echo in greenlet style."""
    from faye_websocket import WebSocket

    with WebSocket(environ) as ws:
        for message in ws:
            ws.send(message)
    return ws(environ, start_response)


def resource(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Echo as a program of gevent-websocket's does, by its imports."""
    from faye_websocket.compat.gevent_websocket import Resource, WebSocketApplication

    return Resource([('/', WebSocketApplication)])(environ, start_response)


def source(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send three events."""
    from faye_websocket import EventSource

    es = EventSource(environ)
    for number in range(3):
        es.send(number)
    es.close()
    return es(environ, start_response)


def two_sockets(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Start a WebSocket, and return another one."""
    from faye_websocket import WebSocket

    first, second = WebSocket(environ), WebSocket(environ)
    list(first(environ, lambda status, headers, exc_info=None: lambda data: None))
    return second(environ, start_response)


def two_in_greenlet_style(
    environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    """Receive on a second WebSocket while the first is open."""
    from faye_websocket import WebSocket

    first, second = WebSocket(environ), WebSocket(environ)
    with first:
        try:
            second.receive()
        except RuntimeError as error:
            first.send(str(error))
    return first(environ, start_response)


def socket_and_source(
    environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    """Start a WebSocket, and return an event source."""
    from faye_websocket import EventSource, WebSocket

    ws, es = WebSocket(environ), EventSource(environ)
    list(ws(environ, lambda status, headers, exc_info=None: lambda data: None))
    return es(environ, start_response)


def source_and_socket(
    environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    """Start an event source, and return a WebSocket."""
    from faye_websocket import EventSource, WebSocket

    ws, es = WebSocket(environ), EventSource(environ)
    list(es(environ, lambda status, headers, exc_info=None: lambda data: None))
    return ws(environ, start_response)


def two_sources(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Start an event source, and return another one."""
    from faye_websocket import EventSource

    first, second = EventSource(environ), EventSource(environ)
    list(first(environ, lambda status, headers, exc_info=None: lambda data: None))
    return second(environ, start_response)


def source_twice(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Return the response of an event source a second time."""
    from faye_websocket import EventSource

    es = EventSource(environ)
    for number in range(3):
        es.send(number)
    es.close()
    list(es(environ, lambda status, headers, exc_info=None: lambda data: None))
    return es(environ, start_response)


def behind_a_refusal(
    environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    """Refuse a WebSocket, and return another one."""
    from faye_websocket import WebSocket

    first, second = (
        WebSocket(environ, allowed_origins=lambda origin, environ: False),
        WebSocket(environ),
    )
    list(first(environ, lambda status, headers, exc_info=None: lambda data: None))
    return second(environ, start_response)


def refused(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Refuse a WebSocket."""
    from faye_websocket import WebSocket

    return WebSocket(environ, allowed_origins=lambda origin, environ: False)(
        environ, start_response
    )


def hidden(inner: Application) -> Application:
    """Replace ``wsgi.input`` by an empty file."""
    return lambda environ, start_response: inner(
        {**environ, 'wsgi.input': io.BytesIO()}, start_response
    )


def in_a_greenlet(inner: Application) -> Application:
    """Replace ``wsgi.input``, and run the application in another greenlet than the
    server's.
    """

    def middleware(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        import gevent

        environ['wsgi.input'] = io.BytesIO()
        other = gevent.spawn(lambda: list(inner(environ, start_response)))
        response: list[bytes] = other.get()
        return response

    return middleware


def hinting(inner: Application) -> Application:
    """Send early hints after the application, if the server supports them."""

    def middleware(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        # Wrapped, so that the server writes a head.
        response = inner(environ, lambda *arguments: start_response(*arguments))
        environ.get('wsgi.early_hints', lambda hints: None)(HINTS)
        return response

    return middleware


def hinting_first(inner: Application) -> Application:
    """Send early hints before the application."""

    def middleware(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ['wsgi.early_hints'](HINTS)
        return inner(environ, start_response)

    return middleware


def linted(inner: Application) -> Application:
    """Wrap it in Werkzeug's lint, with warnings as errors."""

    def middleware(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        from werkzeug.middleware.lint import HTTPWarning, LintMiddleware, WSGIWarning

        warnings.simplefilter('error', WSGIWarning)
        warnings.simplefilter('error', HTTPWarning)
        return LintMiddleware(inner)(environ, start_response)

    return middleware


def linted_by_webtest(inner: Application) -> Application:
    """Wrap it in WebTest's lint."""

    def middleware(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        import webtest.lint

        response: Iterable[bytes] = webtest.lint.middleware(inner)(
            environ, start_response
        )
        return response

    return middleware


MIDDLEWARE: dict[str, Callable[[Application], Application]] = {
    'bare': lambda inner: inner,
    'generator': in_generator,
    'hidden': hidden,
    'greenlet': in_a_greenlet,
    'werkzeug': linted,
    'wsgiref': validator,
    'webtest': linted_by_webtest,
    'hinting': hinting,
    'hinting-first': hinting_first,
}
APPLICATIONS: dict[str, Application] = {
    'callback': control,
    'greenlet': greenlet,
    'resource': resource,
    'source': source,
    'refused': refused,
    'two-sockets': two_sockets,
    'two-in-greenlet-style': two_in_greenlet_style,
    'socket-and-source': socket_and_source,
    'source-and-socket': source_and_socket,
    'two-sources': two_sources,
    'source-twice': source_twice,
    'behind-a-refusal': behind_a_refusal,
}
