"""Events, handlers and listeners."""

from __future__ import annotations

from typing import Any

import pytest

from faye_websocket import (
    Client,
    CloseEvent,
    ErrorEvent,
    Event,
    EventSource,
    MessageEvent,
    WebSocket,
)
from faye_websocket.events import EventTarget
from tests.support.local import make_environ

TYPES = ['open', 'message', 'error', 'close', 'drain']


@pytest.fixture
def target() -> EventTarget:
    """A target without handlers."""
    return EventTarget()


class TestEvent:
    """The attributes of events."""

    def test_has_a_type_and_no_target_before_it_is_dispatched(self) -> None:
        event = Event('open')
        assert (event.type, event.target, event.current_target) == ('open', None, None)

    def test_of_a_message_has_its_data(self) -> None:
        event = MessageEvent(b'data')
        assert (event.type, event.data, event.target, event.current_target) == ('message', b'data', None, None)

    def test_of_the_end_has_code_reason_and_was_clean(self) -> None:
        event = CloseEvent(1001, 'bye', True)
        assert (event.type, event.code, event.reason, event.was_clean) == ('close', 1001, 'bye', True)

    def test_of_an_error_has_a_message_and_the_exception_if_there_is_one(self) -> None:
        error = ValueError('x')
        assert (ErrorEvent('text').message, ErrorEvent('text').error, ErrorEvent('text', error).error) == ('text', None, error)
        assert ErrorEvent('text').type == 'error'

    @pytest.mark.parametrize(('event', 'text'), [
        (Event('open'), "<Event type='open'>"),
        (MessageEvent('hi'), "<MessageEvent type='message' data='hi'>"),
        (ErrorEvent('bad'), "<ErrorEvent type='error' message='bad' error=None>"),
        (CloseEvent(1000, '', True), "<CloseEvent type='close' was_clean=True reason='' code=1000>"),
    ], ids=lambda value: type(value).__name__)
    def test_its_repr_has_all_attributes(self, event: Event, text: str) -> None:
        assert repr(event) == text


class TestHandler:
    """The attributes ``onopen``, ``onmessage`` and so on."""

    @pytest.mark.parametrize('type', TYPES)
    def test_is_none_until_set_and_can_be_reset(self, target: EventTarget, type: str) -> None:
        events: list[Event] = []
        assert getattr(target, f'on{type}') is None
        setattr(target, f'on{type}', events.append)
        target.dispatch_event(Event(type))
        setattr(target, f'on{type}', None)
        target.dispatch_event(Event(type))
        assert len(events) == 1
        assert getattr(target, f'on{type}') is None

    def test_gets_the_event_with_its_target(self, target: EventTarget) -> None:
        events: list[Event] = []
        target.onopen = events.append
        assert target.onopen == events.append
        event = Event('open')
        assert target.dispatch_event(event) is True
        assert events == [event]
        assert event.target is event.current_target is target

    def test_must_be_callable(self, target: EventTarget) -> None:
        with pytest.raises(TypeError, match='onmessage: expected a callable or None, got 42'):
            target.onmessage = 42  # type: ignore[assignment]

    def test_must_not_be_async(self, target: EventTarget) -> None:
        class Chat:
            async def receive(self, event: Event) -> None: ...

        handlers: list[Any] = [Chat().receive, Chat.receive]
        for handler in handlers:
            with pytest.raises(TypeError, match='onmessage: expected a function that is not async, .*: write "def"'):
                target.onmessage = handler

    def test_is_a_descriptor_of_the_class(self) -> None:
        assert type(EventTarget.onopen).__name__ == 'EventHandler'


class TestListener:
    """``on``, ``add_event_listener`` and ``remove_event_listener``."""

    def test_runs_after_the_handler_in_the_order_of_adding(self, target: EventTarget) -> None:
        calls: list[str] = []
        target.on('open', lambda event: calls.append('first'))
        target.onopen = lambda event: calls.append('handler')
        target.add_event_listener('open', lambda event: calls.append('second'))
        target.dispatch_event(Event('open'))
        assert calls == ['handler', 'first', 'second']

    def test_is_added_once(self, target: EventTarget) -> None:
        events: list[Any] = []
        listener = events.append
        target.add_event_listener('open', listener)
        target.add_event_listener('open', listener)
        target.dispatch_event(Event('open'))
        assert len(events) == 1

    def test_gets_events_of_its_type_only(self, target: EventTarget) -> None:
        events: list[Any] = []
        target.on('close', events.append)
        target.dispatch_event(Event('open'))
        assert events == []

    def test_may_be_of_a_type_that_a_subclass_declares(self) -> None:
        class Target(EventTarget):
            onmine = None

        target = Target()
        events: list[Any] = []
        target.on('mine', events.append)
        target.dispatch_event(Event('mine'))
        assert [event.type for event in events] == ['mine']

    def test_may_be_added_by_a_decorator(self, target: EventTarget) -> None:
        events: list[Any] = []

        @target.on('open')
        def listener(event: Event) -> None:
            events.append(event)

        target.dispatch_event(Event('open'))
        assert len(events) == 1
        assert callable(listener)

    def test_is_what_on_returns(self, target: EventTarget) -> None:
        assert target.on('open', print) is print

    def test_is_not_called_once_removed(self, target: EventTarget) -> None:
        events: list[Any] = []
        listener = target.on('open', events.append)
        target.remove_event_listener('close', listener)
        target.remove_event_listener('open', print)
        target.dispatch_event(Event('open'))
        target.remove_event_listener('open', listener)
        target.dispatch_event(Event('open'))
        assert len(events) == 1

    def test_is_not_called_once_another_has_removed_it(self, target: EventTarget) -> None:
        calls: list[int] = []
        second = lambda event: calls.append(2)
        target.on('open', lambda event: target.remove_event_listener('open', second))
        target.on('open', second)
        target.on('open', lambda event: calls.append(3))
        target.dispatch_event(Event('open'))
        assert calls == [3]

    def test_may_remove_itself_while_it_runs(self, target: EventTarget) -> None:
        calls: list[int] = []

        def listener(event: Event) -> None:
            calls.append(1)
            target.remove_event_listener('open', listener)

        target.on('open', listener)
        target.on('open', lambda event: calls.append(2))
        target.dispatch_event(Event('open'))
        target.dispatch_event(Event('open'))
        assert calls == [1, 2, 2]

    def test_must_be_callable(self, target: EventTarget) -> None:
        with pytest.raises(TypeError, match='listener: expected a callable, got 42'):
            target.add_event_listener('open', 42)  # type: ignore[arg-type]

    def test_that_is_shared_is_added_once(self, target: EventTarget) -> None:
        calls: list[Event] = []
        shared = (('open', calls.append),)
        target._share_listener(shared)
        target._share_listener(shared)
        target.dispatch_event(Event('open'))
        assert len(calls) == 1

    def test_must_not_be_async(self, target: EventTarget) -> None:
        async def listen(event: Event) -> None: ...

        with pytest.raises(TypeError, match='listener: expected a function that is not async'):
            target.add_event_listener('open', listen)

    def test_must_be_for_a_known_type(self, target: EventTarget) -> None:
        for add in (target.on, target.add_event_listener):
            for type in ('mesage', '', 'onmessage', '_open'):
                with pytest.raises(ValueError, match=f"type: unknown event type '{type}', expected one of open, message"):
                    add(type, print)

    def test_its_exception_is_raised_by_dispatch_event(self, target: EventTarget) -> None:
        def listener(event: Event) -> None:
            raise KeyError('mine')

        target.on('open', listener)
        with pytest.raises(KeyError, match='mine'):
            target.dispatch_event(Event('open'))


class TestMisspelt:
    """Attributes of sockets with the prefix of handlers."""

    @pytest.fixture(params=['WebSocket', 'Client', 'EventSource'])
    def socket(self, request: pytest.FixtureRequest) -> Any:
        if request.param == 'WebSocket':
            return WebSocket(make_environ())
        if request.param == 'EventSource':
            return EventSource(make_environ(headers=[('Accept', 'text/event-stream')]))
        client = Client('ws://127.0.0.1:1/')
        client.close()
        return client

    @pytest.mark.parametrize('name', ['onmesage', 'onMessage', 'on_message', 'onpong'])
    def test_cannot_be_set(self, socket: Any, name: str) -> None:
        with pytest.raises(AttributeError, match=f'^{name}: unknown handler, expected one of onopen, onmessage, onerror'):
            setattr(socket, name, print)

    def test_may_be_declared_by_a_subclass(self) -> None:
        class Chat(WebSocket):
            online = False

        chat = Chat(make_environ())
        chat.online = True
        assert chat.online

    @pytest.mark.parametrize('kind', ['WebSocket', 'Client'])
    def test_other_attributes_can_be_set(self, kind: str) -> None:
        socket: Any = WebSocket(make_environ()) if kind == 'WebSocket' else Client('ws://127.0.0.1:1/')
        socket.user = 'Alice'
        assert socket.user == 'Alice'
        socket.close()
