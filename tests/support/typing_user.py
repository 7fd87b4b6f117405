"""A user's program that uses every public name; type checkers check it, and it never
runs.
"""

from __future__ import annotations

import math
import ssl
from array import array
from collections.abc import Callable, Iterable
from mmap import mmap
from typing import Any

from faye_websocket import (
    Client,
    CloseCode,
    CloseEvent,
    ErrorEvent,
    Event,
    EventSource,
    MessageEvent,
    PermessageDeflate,
    SocketMiddleware,
    UnsupportedServer,
    WebSocket,
    __version__,
    broadcast,
    close_all,
    is_eventsource,
    is_websocket,
    register_adapter,
)
from faye_websocket.pytest import Connect
from faye_websocket.testing import connect

StartResponse = Callable[..., Any]


def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    if is_websocket(environ) and WebSocket.is_websocket(environ):
        return serve_socket(WebSocket(environ, ['chat'], ping=30), environ, start_response)
    if is_eventsource(environ) and EventSource.is_eventsource(environ):
        return serve_events(EventSource(environ, ping=15, retry=10, headers={'X-A': '1'}), environ, start_response)
    start_response('200 OK', [])
    return [__version__.encode()]


def serve_socket(ws: WebSocket, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    @ws.on('message')
    def echo(event: MessageEvent) -> None:
        data: str | bytes = event.data
        sent: bool = ws.send(data)
        print(sent, event.type, event.target, event.current_target)

    def closed(event: CloseEvent) -> None:
        code: int = event.code
        reason: str = event.reason
        was_clean: bool = event.was_clean
        print(code, reason, was_clean, code == CloseCode.GOING_AWAY)

    def failed(event: ErrorEvent) -> None:
        message: str = event.message
        error: BaseException | None = event.error
        print(message, error)

    ws.onopen = lambda event: ws.send('hello')
    ws.onmessage = echo
    ws.onclose = closed
    ws.onerror = failed
    ws.ondrain = None
    ws.on('drain', lambda event: None)
    ws.add_event_listener('close', closed)
    ws.remove_event_listener('close', closed)
    done: bool = ws.dispatch_event(Event('custom'))
    pinged: bool = ws.ping('hi', lambda: print('pong')) and ws.pong(b'hi')
    texts: tuple[str, str, str, str] = (ws.url, ws.version, ws.protocol, ws.extensions)
    numbers: tuple[int, int] = (ws.ready_state, ws.buffered_amount)
    states: tuple[int, int, int, int] = (ws.CONNECTING, ws.OPEN, ws.CLOSING, ws.CLOSED)
    own: dict[str, Any] = ws.environ
    print(done, pinged, texts, numbers, states, own)
    ws.send([1, 2, 3])
    for message in ('text', b'bytes', bytearray(1), memoryview(b''), array('B'), (1, 2), range(3), 1, 1.5):
        ws.send(message)
    with mmap(-1, 1) as mapped:
        ws.send(mapped)
    ws.close(1000, 'bye')
    WebSocket.load_adapter('gevent')
    if ws.protocol:
        return ws.wsgi_response(start_response)
    return ws(environ, start_response)


def serve_events(es: EventSource, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    es.onopen = lambda event: es.send('Hello')
    es.onclose = lambda event: print(event)
    es.send('Breaking News!', event='notification', id='99')
    es.send(1, event=2, id=3.5)
    es.ping()
    texts: tuple[str, str] = (es.url, es.last_event_id)
    numbers: tuple[int, int] = (es.ready_state, es.buffered_amount)
    print(texts, numbers)
    es.close()
    return es(environ, start_response)


def handler(ws: WebSocket) -> None:
    with ws as same:
        message: str | bytes | None = same.receive(timeout=5)
        for message in ws:
            ws.send(message)
        print(message)


def options(environ: dict[str, Any]) -> WebSocket:
    return WebSocket(
        environ, 'chat, irc', extensions=[PermessageDeflate(level=6, threshold=64)], headers=[('Set-Cookie', 'a=1')],
        max_length=2**20, max_fragments=100, ping=30, ping_timeout=10.5, close_timeout=5,
        max_buffered=math.inf, overflow='drop', max_queue=8, max_queued=math.inf,
        allowed_origins=lambda origin, environ: origin.endswith('.example'))


def client() -> int | None:
    with Client('wss://example.com/', ['v1'], headers={'Authorization': 'x'}, proxy='env', tls=ssl.create_default_context(),
                timeout=5, max_redirects=2, ping=30) as ws:
        ws.send(b'hi')
        upgrade: str = ws.headers['upgrade']
        cookie: str | None = ws.headers.get('Set-Cookie')
        headers: list[tuple[str, str]] = ws.headers.pairs()
        names: list[str] = list(ws.headers)
        body: bytes = ws.body
        print(upgrade, cookie, headers, names, body)
    other: Client = WebSocket.Client('ws://localhost/', tls={'verify_peer': False}, socket_path='/run/socket')
    return other.status


def take(environ: Any) -> tuple[Any, bytes] | None:
    raise UnsupportedServer('not this one')


register_adapter('own', take)
wrapped = SocketMiddleware(app, {'/chat': handler}, protocols=['chat'], ping=30)
around: Callable[[dict[str, Any], StartResponse], Iterable[bytes]] = wrapped
with connect(wrapped, '/chat', headers={'Cookie': 'a=1'}, cookies={'b': '2'}) as joined:
    answers: str | bytes | None = joined.receive(1)


def test_chat(websocket_connect: Connect) -> None:
    assert websocket_connect(wrapped, '/chat', refused=True).status == 101


took: int = broadcast([options({})], 'news') + broadcast((), b'news') + broadcast([], [1])
close_all(1001, 'restart', timeout=5)
