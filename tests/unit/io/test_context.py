"""Handlers that run in a context of the application's."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import Context, ContextVar, copy_context
from typing import Any

import gevent
import pytest

from faye_websocket import EventSource, SocketMiddleware, WebSocket
from faye_websocket.testing import connect
from tests.support.local import Record, Response, joined, make_environ, wait_until
from tests.support.wire import PONG, TEXT, Frame, serialize_frame

USER: ContextVar[str] = ContextVar('USER', default='nobody')
MESSAGE = serialize_frame(TEXT, b'hello')


@pytest.fixture
def context() -> Iterator[Context]:
    """The context of a view, in which there is a user; there is none outside of it."""
    token = USER.set('ann')
    yield copy_context()
    USER.reset(token)


def leave() -> None:
    """Leave the view, which is over when a handler runs."""
    USER.set('nobody')


@pytest.mark.proves('V3')
class TestWebSocket:
    def test_runs_every_handler_and_listener_in_it(self, context: Context) -> None:
        with joined(context=context) as pair:
            leave()
            seen: list[Any] = []
            for type in ('open', 'message', 'close'):
                pair.ws.on(type, lambda event: seen.append((event.type, USER.get())))
            pair.ws.onmessage = lambda event: seen.append((event.target is pair.ws, USER.get()))
            _, client = pair.open()
            client.send(MESSAGE)
            client.send_close(1000)
            wait_until(lambda: len(seen) == 4)
            assert seen == [('open', 'ann'), (True, 'ann'), ('message', 'ann'), ('close', 'ann')]
            assert USER.get() == 'nobody'

    def test_runs_a_pings_callback_in_it(self, context: Context) -> None:
        with joined(context=context) as pair:
            leave()
            seen: list[str] = []
            ws, client = pair.open()
            assert ws.ping('1', lambda: seen.append(USER.get()))
            client.send(serialize_frame(PONG, client.receive_frame().payload))
            assert wait_until(lambda: seen) == ['ann']

    def test_serves_many_sockets_while_a_handler_sleeps(self, context: Context) -> None:
        with joined(context=context) as first, joined(context=context) as second:
            leave()
            for pair in (first, second):
                pair.ws.onmessage = lambda event: (gevent.sleep(0.01), event.target.send(USER.get()))
                pair.open()
                pair.client.send(MESSAGE)
            for pair in (first, second):
                assert pair.client.receive_frame() == Frame(TEXT, b'ann')

    def test_is_entered_again_where_a_handler_dispatches_an_event(self, context: Context) -> None:
        with joined(context=context) as pair:
            leave()
            seen: list[Any] = []
            pair.ws.onmessage = lambda event: (seen.append(USER.get()), len(seen) < 3 and pair.ws.dispatch_event(event))
            _, client = pair.open()
            client.send(MESSAGE)
            wait_until(lambda: len(seen) >= 3)
            assert seen[-1] == 'ann'

    def test_keeps_what_a_handler_sets_from_the_others(self, context: Context) -> None:
        with joined(context=context) as pair:
            leave()
            seen: list[str] = []

            def handle(event: Any) -> None:
                seen.append(USER.get())
                USER.set(event.data)

            pair.ws.onmessage = handle
            _, client = pair.open()
            client.send(MESSAGE * 2)
            wait_until(lambda: len(seen) == 2)
            assert (seen, context[USER]) == (['ann', 'ann'], 'ann')

    @pytest.mark.proves('C2')
    def test_contains_a_fault_in_it(self, context: Context, caplog: pytest.LogCaptureFixture) -> None:
        with joined(context=context) as pair:
            leave()
            users: list[str] = []
            pair.ws.onmessage = lambda event: 1 / 0
            pair.ws.onerror = lambda event: users.append(USER.get())
            _, client = pair.open()
            client.send(MESSAGE)
            assert client.receive_frame().code == 1011
            assert wait_until(lambda: users) == ['ann']
            assert [record.levelname for record in caplog.records] == ['ERROR']

    def test_must_be_a_context(self) -> None:
        for kind in (WebSocket, EventSource):
            with pytest.raises(TypeError, match=r'^context: expected a contextvars.Context or None, got \{\}$'):
                kind(make_environ(), context={})  # type: ignore[arg-type]


@pytest.mark.proves('V3')
class TestEventSource:
    def test_runs_its_handlers_in_it(self, context: Context) -> None:
        es = EventSource(make_environ(), context=context)
        leave()
        seen: list[str] = []
        es.onopen = lambda event: (seen.append(USER.get()), es.close())
        record = Record(es, ('close',))
        list(es(make_environ(), Response()))
        assert seen == ['ann']
        assert record.the_close().code == 1000


@pytest.mark.proves('V3')
def test_a_handler_of_the_middleware_runs_in_it(context: Context) -> None:
    leave()
    app = SocketMiddleware(lambda environ, start_response: [], {'/': lambda ws: ws.send(USER.get())}, context=context)
    for _ in range(2):
        with connect(app) as ws:
            assert ws.receive(timeout=1) == 'ann'
