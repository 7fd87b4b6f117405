"""SocketResponse: what a Django view returns for a WebSocket.

    def echo(request):
        if not is_websocket(request.META):
            return HttpResponse('There is a WebSocket here.')
        ws = WebSocket(request.META)
        ws.onmessage = lambda event: ws.send(event.data)
        return SocketResponse(ws)

It goes through middleware like any other response. The handshake is made when the server writes it, so the cookies that were
set on it by then, such as the session's, go out with the handshake; other headers of its own do not, for these there is
``WebSocket(..., headers=...)``. If something answers in its place, a middleware or a fault, that goes out instead.
"""

from __future__ import annotations

from django.http import HttpResponse

from .servers.stack import is_in_coroutine
from .websocket import WebSocket

__all__ = ['SocketResponse']


class SocketResponse(HttpResponse):  # type: ignore[misc]
    """The response that makes ``ws`` an open socket, with status 101; or the refusal of its handshake: 400, 403, 426, 503.

    Raises UnsupportedServer under a server whose socket cannot be had, such as ``manage.py runserver``, and RuntimeError in an
    ``async def`` view.
    """

    def __init__(self, ws: WebSocket) -> None:
        if not isinstance(ws, WebSocket):
            raise TypeError(f'ws: expected a WebSocket, got {ws!r}')
        # asyncio.current_task() is of the OS thread, which other requests share.
        if is_in_coroutine():
            # Its thread, and with it the hub that the socket would live on, ends with the view.
            raise RuntimeError('a SocketResponse cannot come from an async view: write "def" instead of "async def"')
        responses: list[tuple[str, list[tuple[str, str]]]] = []
        body = b''.join(ws.wsgi_response(lambda status, headers, exc_info=None: responses.append((status, headers))))
        [(status, headers)] = responses
        code, _, reason = status.partition(' ')
        # PEP 3333: an application has no say in "hop-by-hop" headers; the refusal that went out has its own.
        others = {name: value for name, value in headers if name != 'Connection'}
        super().__init__(body, status=int(code), reason=reason, headers=others)
