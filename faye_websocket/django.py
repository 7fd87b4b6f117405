"""SocketResponse: the response of a Django view that accepts a WebSocket.

    def echo(request):
        if not is_websocket(request.META):
            return HttpResponse('Connect with a WebSocket.')
        ws = WebSocket(request.META)
        ws.onmessage = lambda event: ws.send(event.data)
        return SocketResponse(ws)

Middleware treats it like any other response. The handshake is made when the server
writes the response. Cookies that were set on it until then, such as the session's, are
sent with the handshake. Its other headers are not: use ``WebSocket(..., headers=...)``.
If a middleware returns another response, or something raises, that response is sent
instead.
"""

from __future__ import annotations

from django.http import HttpResponse

from .servers.stack import is_in_coroutine
from .websocket import WebSocket

__all__ = ['SocketResponse']


class SocketResponse(HttpResponse):  # type: ignore[misc]
    """A response that opens the socket ``ws``, with status 101.

    If the handshake is refused, the response has the status of the refusal: 400, 403,
    426 or 503. Raise UnsupportedServer if the server does not hand its sockets over,
    RuntimeError in an ``async def`` view, and TypeError if ``ws`` is not a WebSocket.
    """

    def __init__(self, ws: WebSocket) -> None:
        if not isinstance(ws, WebSocket):
            raise TypeError(f'ws: expected a WebSocket, got {ws!r}')
        # asyncio.current_task() is not enough: it is a variable of the OS thread, which
        # other requests share.
        if is_in_coroutine():
            # The socket would live on the hub of the view's thread, and both end with
            # the view.
            raise RuntimeError(
                'a SocketResponse cannot come from an async view: write "def" instead of "async def"'
            )
        responses: list[tuple[str, list[tuple[str, str]]]] = []
        body = b''.join(
            ws.wsgi_response(
                lambda status, headers, exc_info=None: responses.append((status, headers))
            )
        )
        [(status, headers)] = responses
        code, _, reason = status.partition(' ')
        # PEP 3333: applications must not set "hop-by-hop" headers. A refusal has its
        # own already.
        others = {name: value for name, value in headers if name != 'Connection'}
        super().__init__(body, status=int(code), reason=reason, headers=others)
