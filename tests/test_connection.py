"""The life of a connection: how it ends, how it is kept alive, and what it does when peer or handler are slow."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import gevent
import pytest

from faye_websocket import WebSocket
from tests.support.local import Client, LocalServer, Record, joined, reset, serve, wait_until
from tests.support.wire import BINARY, CLOSE, PING, PONG, TEXT, Frame, serialize_frame


class Ending(NamedTuple):
    """One way for a connection to end, and what the application is told of it."""

    name: str
    setup: Callable[[WebSocket], object]
    act: Callable[[LocalServer, Client], object]
    code: int
    reason: str | None = ''
    was_clean: bool = False
    options: dict[str, Any] = {}


def no_setup(ws: WebSocket) -> None:
    """Leaves the socket as it is."""


def no_act(server: LocalServer, client: Client) -> None:
    """Leaves everything to the server."""


def answer(server: LocalServer, client: Client) -> None:
    """Answers the server's close frame."""
    frame = client.receive_frame()
    assert frame.opcode == CLOSE
    client.send_frame(CLOSE, frame.payload)


def on(type: str, handler: Callable[[WebSocket, Any], object]) -> Callable[[WebSocket], object]:
    """A setup that adds a listener."""
    return lambda ws: ws.on(type, lambda event: handler(ws, event))


def raise_error(ws: WebSocket, event: Any) -> None:
    """A handler with a fault."""
    raise ValueError('a fault')


def kill_handler(ws: WebSocket, event: Any) -> None:
    """A handler whose greenlet is killed while it blocks."""
    gevent.spawn(gevent.getcurrent().kill, block=False)
    gevent.sleep(60)


def then_answer(*frames: bytes) -> Callable[[LocalServer, Client], None]:
    """Sends frames, and answers the close frame that comes."""
    def act(server: LocalServer, client: Client) -> None:
        client.send(b''.join(frames))
        answer(server, client)
    return act


def close_twice(ws: WebSocket, event: Any) -> None:
    """Closes again with another code."""
    ws.close(3000, 'first')
    ws.close(3001, 'second')


MESSAGE = serialize_frame(TEXT, b'hello')

ENDINGS = [
    Ending('the client closes', no_setup, lambda server, client: client.send_close(3333, 'bye'), 3333, 'bye', True),
    Ending('the client closes without a code', no_setup, lambda server, client: client.send_frame(CLOSE), 1005, '', True),
    Ending('the server closes', on('open', lambda ws, event: gevent.spawn(ws.close, 3000, 'x')), answer, 3000, 'x', True),
    Ending('close() in onopen', on('open', lambda ws, event: ws.close()), answer, 1000, '', True),
    Ending('close() in onmessage', on('message', lambda ws, event: ws.close()), then_answer(MESSAGE), 1000, '', True),
    Ending('close() in onmessage, in a burst', on('message', lambda ws, event: ws.close()),
           then_answer(MESSAGE * 3), 1000, '', True),
    Ending('close() twice', on('open', close_twice), answer, 3000, 'first', True),
    Ending('close() twice, before open', lambda ws: close_twice(ws, None), answer, 3000, 'first', True),
    Ending('close() before open', lambda ws: ws.close(4000, 'no'), answer, 4000, 'no', True),
    Ending('close() in onclose', on('close', lambda ws, event: ws.close()),
           lambda server, client: client.send_close(3333), 3333, '', True),
    Ending('EOF', no_setup, lambda server, client: client.close(), 1006, ''),
    Ending('half-close', no_setup, lambda server, client: client.finish_sending(), 1006, None),
    Ending('RST', no_setup, lambda server, client: reset(client), 1006, None),
    Ending('EOF instead of an answer', on('open', lambda ws, event: ws.close()),
           lambda server, client: (client.receive_frame(), client.close()), 1006, ''),
    Ending('ping timeout', no_setup, no_act, 1006, 'ping timeout', options={'ping': 0.03}),
    Ending('close timeout', on('open', lambda ws, event: ws.close()), no_act, 1006, 'close timeout',
           options={'close_timeout': 0.05}),
    Ending('protocol error', no_setup, lambda server, client: client.send(b'\x83\x80abcd'), 1002, None),
    Ending('unmasked frame', no_setup, lambda server, client: client.send(b'\x81\x01a'), 1002, None),
    Ending('message too big', no_setup, lambda server, client: client.send_frame(TEXT, b'x' * 11), 1009,
           'message too big: 11 > 10', options={'max_length': 10}),
    Ending('text that is not UTF-8', no_setup, lambda server, client: client.send_frame(TEXT, b'\xff'), 1007, None),
    Ending('handler exception', on('message', raise_error), then_answer(MESSAGE), 1011, 'internal error', True),
    Ending('killed greenlet', on('message', kill_handler), then_answer(MESSAGE), 1011, 'internal error', True),
]


@pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
@pytest.mark.parametrize('ending', [pytest.param(ending, id=ending.name) for ending in ENDINGS])
def test_every_ending_is_one_close_event_and_nothing_after_it(ending: Ending, tls: bool) -> None:  # L2, L4, L5
    with serve(ending.setup, tls=tls, **ending.options) as server:
        client = server.open()
        ending.act(server, client)
        event = server.record.the_close()
        assert (event.code, event.was_clean) == (ending.code, ending.was_clean)
        assert event.reason == ending.reason or ending.reason is None
        assert server.ws.ready_state == WebSocket.CLOSED
