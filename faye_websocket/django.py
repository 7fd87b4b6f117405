"""Sockets in Django: the response of a view, and handlers that use the database.

    def echo(request):
        if not is_websocket(request.META):
            return HttpResponse('Connect with a WebSocket.')
        ws = WebSocket(request.META)
        ws.onmessage = lambda event: ws.send(event.data)
        return SocketResponse(ws)

Middleware treats it like any other response. The handshake is made when the server
writes the response. Cookies and other headers that were set on it until then, such as
the session's, are sent with the handshake, but for those that describe a body. If a
middleware returns another response, or something raises, that response is sent instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

from django.db import connections
from django.http import HttpResponse, StreamingHttpResponse

from .eventsource.source import EventSource
from .servers.stack import is_in_coroutine
from .websocket import WebSocket

__all__ = ['SocketResponse', 'close_connections']

Function = TypeVar('Function', bound=Callable[..., Any])


class SocketResponse(HttpResponse):  # type: ignore[misc]
    """A response that opens a socket: a WebSocket with status 101, or an event source.

    If a handshake is refused, the response has the status of the refusal: 400, 403, 426
    or 503. For an event source it is a StreamingHttpResponse. Raise UnsupportedServer
    if the server does not hand the connection of a WebSocket over, RuntimeError in an
    ``async def`` view, and TypeError for anything but a WebSocket or an EventSource.
    """

    def __new__(cls, socket: WebSocket | EventSource) -> Any:
        """Return a response of the class that fits the socket."""
        if not isinstance(socket, (WebSocket, EventSource)):
            raise TypeError(f'socket: expected a WebSocket or an EventSource, got {socket!r}')
        # asyncio.current_task() is not enough: it is a variable of the OS thread, which
        # other requests share.
        if is_in_coroutine():
            # The socket would live on the hub of the view's thread, and both end with
            # the view.
            raise RuntimeError(
                'a SocketResponse cannot come from an async view: write "def" instead of "async def"'
            )
        if isinstance(socket, EventSource):
            body, options, cookies = _respond(socket)
            return _with_cookies(StreamingHttpResponse(body, **options), cookies)
        return super().__new__(cls)

    def __init__(self, socket: WebSocket | EventSource) -> None:
        body, options, cookies = _respond(socket)
        super().__init__(b''.join(body), **options)
        _with_cookies(self, cookies)


def _respond(
    socket: WebSocket | EventSource,
) -> tuple[Iterable[bytes], dict[str, Any], list[str]]:
    """Return the body of the socket's response, Django's options, and the cookies.

    Django has one value for each name of a header. RFC 9110 section 5.3 lets a list be
    one, and cookies, which cannot be a list, have a place of their own.
    """
    responses: list[tuple[str, list[tuple[str, str]]]] = []
    body = socket.wsgi_response(
        lambda status, headers, exc_info=None: responses.append((status, headers))
    )
    [(status, headers)] = responses
    code, _, reason = status.partition(' ')
    # PEP 3333: applications must not set "hop-by-hop" headers. A refusal has its own
    # already.
    others: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in headers:
        if name.lower() == 'set-cookie':
            cookies.append(value)
        elif name != 'Connection':
            others[name] = f'{others[name]}, {value}' if name in others else value
    return body, {'status': int(code), 'reason': reason, 'headers': others}, cookies


def _with_cookies(response: Any, cookies: list[str]) -> Any:
    """Return the response, with these values of Set-Cookie."""
    for cookie in cookies:
        response.cookies.load(cookie)
    return response


def close_connections(handler: Function) -> Function:
    """Close the database connections of each call of ``handler`` when it returns.

    A decorator for handlers that use the ORM. Django has database connections for each
    greenlet, and closes them at the end of a request, which a handler is not part of.
    In greenlet style decorate the function that asks the database, not the loop around
    it: connections are closed when it returns or raises. A connection that is within a
    transaction stays open, because it belongs to the code around the call.
    """

    @wraps(handler)
    def closing(*arguments: Any, **options: Any) -> Any:
        try:
            return handler(*arguments, **options)
        finally:
            for connection in connections.all():
                if not connection.in_atomic_block:
                    connection.close()

    return closing  # type: ignore[return-value]
