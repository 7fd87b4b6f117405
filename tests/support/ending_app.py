"""The application of the matrix of endings.

Its sockets end in the way that the path names. ``/websocket/EOF/7`` makes a WebSocket,
``/greenlet/EOF/8`` one in greenlet style, and ``/eventsource/EOF/9`` an EventSource.
``/client/EOF/10?url=...&authority=...`` makes a Client, which lives in this process
like the others, and responds at once. Each records its events. ``/-/census`` reports
the objects that the process holds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import gevent
from gevent import monkey

from faye_websocket import Client, EventSource, WebSocket
from tests.support.apps import Environ, StartResponse, hello, record_events
from tests.support.holdings import take_census

#: By ending: the options of the socket, beside the defaults.
OPTIONS: dict[str, dict[str, Any]] = {'ping timeout': {'ping': 0.1, 'ping_timeout': 0.1}}

#: Data that is buffered for a peer that does not read, so that there is something to
#: write when the peer is gone.
MUCH = bytes(8_000_000)


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Make the socket that the path names."""
    kind, _, ending = environ['PATH_INFO'].strip('/').partition('/')
    ending = ending.rpartition('/')[0].replace('-', ' ')
    if kind == 'websocket':
        ws = WebSocket(environ, **OPTIONS.get(ending, {}))
        prepare(ws, ending, environ['PATH_INFO'])
        return ws(environ, start_response)
    if kind == 'greenlet':
        ws = WebSocket(environ, **OPTIONS.get(ending, {}))
        record_events(ws, environ['PATH_INFO'], ('open', 'error', 'close'))
        CONVERSE.get(ending, converse)(ws)
        return ws(environ, start_response)
    if kind == 'eventsource':
        es = EventSource(environ)
        prepare(es, ending, environ['PATH_INFO'])
        return es(environ, start_response)
    if kind == 'client':
        query = parse_qs(environ['QUERY_STRING'])
        tls = {'root_cert_file': query['authority'][0]} if 'authority' in query else None
        prepare(Client(query['url'][0], tls=tls, **OPTIONS.get(ending, {})), ending, environ['PATH_INFO'])
    elif environ['PATH_INFO'] == '/-/census':
        body = json.dumps(take_census()).encode()
        start_response('200 OK', [('Content-Type', 'application/json'), ('Content-Length', str(len(body)))])
        return [body]
    return hello(start_response)


def prepare(socket: Any, ending: str, path: str) -> None:
    """Prepare this socket for its ending."""
    record_events(socket, path)
    PREPARE.get(ending, lambda socket: None)(socket)


def converse(ws: WebSocket, react: Callable[[WebSocket], object] = lambda ws: None) -> None:
    """Enter the block, and react to each message, until the end."""
    with ws:
        for _ in ws:
            react(ws)


def close_before(ws: WebSocket) -> None:
    """Close before the handshake."""
    close(ws)
    assert ws.receive() is None


def wait(socket: Any) -> None:
    """Wait for the end in a greenlet, and then close a second time."""
    def run() -> None:
        assert socket.wait_closed(timeout=10) is True
        close(socket)

    gevent.spawn(run)


def on(type: str, handle: Callable[[Any], object]) -> Callable[[Any], None]:
    """Return a function that adds a listener, which handles the socket."""
    return lambda socket: socket.on(type, lambda event: handle(socket))


def either(handle: Callable[[Any], object]) -> Callable[[Any], None]:
    """Return a function that adds a listener for the first message.

    For an EventSource, which has no messages, the listener is for the open event.
    """
    return lambda socket: on('open' if isinstance(socket, EventSource) else 'message', handle)(socket)


def close(socket: Any, code: int = 3000, reason: str = 'enough') -> None:
    """Close a socket. That of an event source has no code."""
    if isinstance(socket, EventSource):
        socket.close()
    else:
        socket.close(code, reason)


def close_twice(socket: Any) -> None:
    """Close twice: the second call has no effect."""
    close(socket)
    close(socket, 3001, 'more than enough')


def close_at_once(ws: WebSocket, close: Callable[[WebSocket], object] = close) -> None:
    """Close within the block, and receive until the end."""
    with ws:
        close(ws)
        assert ws.receive() is None


def raise_error(socket: Any) -> None:
    """Raise an exception in a handler."""
    raise RuntimeError('on purpose')


def be_killed(socket: Any) -> None:
    """Kill the greenlet of a handler while it waits."""
    gevent.spawn(gevent.kill, gevent.getcurrent())
    gevent.sleep(60)


def send_much(socket: Any) -> None:
    """Send more than the kernel accepts."""
    socket.send('x' * len(MUCH) if isinstance(socket, EventSource) else MUCH)


def fork(socket: Any) -> None:
    """Fork a child that keeps copies of all descriptors for longer than the socket
    lives.

    Report that to the peer.
    """
    if not monkey.get_original('os', 'fork')():
        monkey.get_original('time', 'sleep')(10)
        os._exit(0)
    socket.send('forked')


PREPARE: dict[str, Callable[[Any], object]] = {
    'close() by us': on('open', lambda socket: gevent.spawn(close, socket)),
    'close() in onopen': on('open', close),
    'close() in onmessage': on('message', close),
    'close() twice': on('open', close_twice),
    'close() before open': close,
    'EOF, with a fork': either(fork),
    'handler exception': either(raise_error),
    'killed greenlet': either(be_killed),
    'write failure': either(send_much),
    'wait_closed()': wait}

#: The endings of sockets in greenlet style.
CONVERSE: dict[str, Callable[[WebSocket], object]] = {
    'close() by us': close_at_once,
    'close() twice': lambda ws: close_at_once(ws, close_twice),
    'close() before open': close_before,
    'EOF, with a fork': lambda ws: converse(ws, fork),
    'handler exception': lambda ws: converse(ws, raise_error),
    'killed greenlet': lambda ws: converse(ws, be_killed),
    'write failure': lambda ws: converse(ws, send_much),
    'wait_closed()': lambda ws: ws.wait_closed(timeout=10)}
