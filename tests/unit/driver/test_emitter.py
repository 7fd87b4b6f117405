"""Listeners and the observer: called at once and in order, without catching exceptions.
"""

from __future__ import annotations

from typing import Any

import pytest

from faye_websocket.driver.emitter import EventEmitter, Observer


class Recorder(Observer):
    """An observer that appends every event to a log."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def notify(self, type: str, *arguments: Any) -> None:
        self.log.append((type, *arguments))

    def message(self, data: str | bytes) -> None:
        self.log.append(('message', data))


def test_calls_the_observer_and_then_the_listeners_in_order() -> None:
    log: list[Any] = []
    emitter = EventEmitter()
    emitter.observer = Recorder(log)
    for number in 1, 2:
        emitter.on('close', lambda *arguments, number=number: log.append((number, *arguments)))
    emitter.emit('close', 1000, 'bye')
    emitter.emit('open')
    assert log == [('close', 1000, 'bye'), (1, 1000, 'bye'), (2, 1000, 'bye'), ('open',)]


def test_calls_them_for_messages_in_that_order() -> None:
    log: list[Any] = []
    emitter = EventEmitter()
    emitter.emit_message('nobody listens')
    emitter.observer = Recorder(log)
    emitter.emit_message('first')
    emitter.on('message', lambda data: log.append(data))
    emitter.emit_message('second')
    assert log == [('message', 'first'), ('message', 'second'), 'second']


def test_works_without_listeners() -> None:
    emitter = EventEmitter()
    emitter.emit('open')
    emitter.on('open', lambda: None)
    emitter.emit('close', 1000, '')


def test_returns_the_listener() -> None:
    def listener() -> None: ...

    assert EventEmitter().on('open', listener) is listener


def test_a_listener_added_meanwhile_gets_the_next_event() -> None:
    log: list[str] = []
    emitter = EventEmitter()
    emitter.on('open', lambda: emitter.on('open', lambda: log.append('late')))
    emitter.emit('open')
    assert log == []
    emitter.emit('open')
    assert log == ['late']


def test_does_not_catch_the_exception_of_a_listener() -> None:
    emitter = EventEmitter()
    emitter.on('open', lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        emitter.emit('open')
