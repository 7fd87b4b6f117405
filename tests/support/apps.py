"""WSGI applications for the tests.

``echo`` is the example of the documentation, and prints nothing. ``control`` echoes,
too, obeys a few messages, and appends the events of its sockets as lines of JSON to the
file in the environment variable FAYE_TEST_EVENTS. The others are ``control`` in the
kinds of middleware that real applications use.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

EVENTS = 'FAYE_TEST_EVENTS'

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


def echo_with(**options: Any) -> Application:
    """Return an application that echoes on a WebSocket with these options."""
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        from faye_websocket import WebSocket

        if WebSocket.is_websocket(environ):
            ws = WebSocket(environ, **options)
            ws.onmessage = lambda event: ws.send(event.data)
            return ws(environ, start_response)
        return hello(start_response)

    return app


def control(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Echo every message, but obey ``close CODE REASON`` and ``raise TEXT``; record
    events.
    """
    from faye_websocket import WebSocket

    if not WebSocket.is_websocket(environ):
        return hello(start_response)
    ws = WebSocket(environ)
    record_events(ws, environ['PATH_INFO'])
    ws.on('message', lambda event: obey(ws, event.data))
    return ws(environ, start_response)


def where(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send the URL of the request, to a WebSocket or as an event."""
    from faye_websocket import EventSource, WebSocket

    socket: Any
    if WebSocket.is_websocket(environ):
        socket = WebSocket(environ)
    elif EventSource.is_eventsource(environ):
        socket = EventSource(environ)
    else:
        return hello(start_response)
    socket.send(socket.url)
    return socket(environ, start_response)


def hello(start_response: StartResponse) -> Iterable[bytes]:
    """Respond to plain HTTP."""
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '5')])
    return [b'Hello']


def obey(ws: Any, data: str | bytes) -> None:
    """Obey a message; echo any other."""
    verb, _, rest = data.partition(' ') if isinstance(data, str) else ('', '', '')
    if verb == 'close':
        code, _, reason = rest.partition(' ')
        ws.close(int(code), reason)
    elif verb == 'raise':
        raise RuntimeError(rest)
    else:
        ws.send(data)


def record_events(ws: Any, path: str, types: tuple[str, ...] = ('open', 'message', 'error', 'close')) -> None:
    """Append each event of these types to the file of events, if there is one."""
    filename = os.environ.get(EVENTS)
    if not filename:
        return
    for type in types:
        ws.on(type, lambda event: append_line(filename, {'path': path, **describe(event)}))


def describe(event: Any) -> dict[str, Any]:
    """Return the attributes of an event in the form of JSON."""
    known = ('code', 'reason', 'was_clean', 'message', 'data')
    values = {name: getattr(event, name) for name in known if hasattr(event, name)}
    return {'type': event.type, 'pid': os.getpid(),
            **{name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()}}


def append_line(filename: str, value: dict[str, Any]) -> None:
    """Append a line in one write, so that lines of several processes do not mix."""
    descriptor = os.open(filename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, (json.dumps(value) + '\n').encode())
    finally:
        os.close(descriptor)


def in_generator(app: Application) -> Application:
    """Return a middleware that is a generator function.

    It calls ``app`` when the server asks for the first chunk.
    """
    def middleware(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        response = app(environ, start_response)
        try:
            yield from response
        finally:
            close_response(response)

    return middleware


class ClosingIterator:
    """A middleware's response that detects its end, as those of Werkzeug and Sentry do.

    It has no length, and is not a list.
    """

    def __init__(self, response: Iterable[bytes]) -> None:
        self.response = response
        self.chunks = iter(response)

    def __iter__(self) -> ClosingIterator:
        return self

    def __next__(self) -> bytes:
        return next(self.chunks)

    def close(self) -> None:
        """Close the inner response. PEP 3333: the server calls this."""
        close_response(self.response)


def close_response(response: Iterable[bytes]) -> None:
    """Close a response that has ``close()``, as PEP 3333 demands of middleware."""
    close = getattr(response, 'close', None)
    if close is not None:
        close()


def in_iterator(app: Application) -> Application:
    """Return a middleware that wraps the response in an iterator with ``close()``."""
    return lambda environ, start_response: ClosingIterator(app(environ, start_response))


echo = echo_with()

#: Autobahn's cases 9.3.1 and 9.4.1 send a message in 65,536 fragments, four times the
#: default limit.
echo_in_fragments = echo_with(max_fragments=2**17)

wrapped_by_generator = in_generator(control)
wrapped_by_iterator = in_iterator(control)
