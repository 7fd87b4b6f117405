"""Listeners and the observer: at once, in order, and what they raise passes through."""

from __future__ import annotations

from typing import Any

import pytest

from faye_websocket.driver.emitter import EventEmitter, Observer


class Recorder(Observer):
    """Writes down what it is told, into a log that others share."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def notify(self, type: str, *arguments: Any) -> None:
        self.log.append((type, *arguments))

    def message(self, data: str | bytes) -> None:
        self.log.append(('message', data))


def test_tells_the_observer_and_then_the_listeners_in_their_order() -> None:
    log: list[Any] = []
    emitter = EventEmitter()
    emitter.observer = Recorder(log)
    for number in 1, 2:
        emitter.on('close', lambda *arguments, number=number: log.append((number, *arguments)))
    emitter.emit('close', 1000, 'bye')
    emitter.emit('open')
    assert log == [('close', 1000, 'bye'), (1, 1000, 'bye'), (2, 1000, 'bye'), ('open',)]


def test_tells_of_messages_likewise() -> None:
    log: list[Any] = []
    emitter = EventEmitter()
    emitter.emit_message('nobody listens')
    emitter.observer = Recorder(log)
    emitter.emit_message('first')
    emitter.on('message', lambda data: log.append(data))
    emitter.emit_message('second')
    assert log == [('message', 'first'), ('message', 'second'), 'second']


def test_needs_nobody_to_listen() -> None:
    emitter = EventEmitter()
    emitter.emit('open')
    emitter.on('open', lambda: None)
    emitter.emit('close', 1000, '')


def test_returns_the_listener() -> None:
    def listener() -> None: ...

    assert EventEmitter().on('open', listener) is listener


def test_a_listener_added_meanwhile_hears_of_the_next_event() -> None:
    log: list[str] = []
    emitter = EventEmitter()
    emitter.on('open', lambda: emitter.on('open', lambda: log.append('late')))
    emitter.emit('open')
    assert log == []
    emitter.emit('open')
    assert log == ['late']


def test_lets_pass_what_a_listener_raises() -> None:
    emitter = EventEmitter()
    emitter.on('open', lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        emitter.emit('open')
