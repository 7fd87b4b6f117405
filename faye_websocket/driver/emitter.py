"""EventEmitter: how a driver tells its owner what happened. No queue, no greenlet: listeners run at once, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ['EventEmitter', 'Observer']

Listener = Callable[..., Any]


class Observer:
    """Whoever wants every event of an emitter, which costs less memory than a listener for each. To be derived from."""

    __slots__ = ()

    def notify(self, type: str, *arguments: Any) -> None:
        """Takes the event ``type`` with its arguments; any but a message."""
        raise NotImplementedError

    def message(self, data: str | bytes) -> None:
        """Takes a message."""
        raise NotImplementedError


class EventEmitter:
    """Listeners by event type, and one optional ``observer`` of all of them."""

    __slots__ = ('_listeners', 'observer')

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] | None = None
        self.observer: Observer | None = None

    def on(self, type: str, listener: Listener) -> Listener:
        """Calls ``listener`` at every event of this ``type``, with the event's arguments."""
        if self._listeners is None:
            self._listeners = {}
        self._listeners.setdefault(type, []).append(listener)
        return listener

    def emit(self, type: str, *arguments: Any) -> None:
        """Tells the observer, then the listeners. What one of them raises passes through."""
        if self.observer is not None:
            self.observer.notify(type, *arguments)
        if self._listeners is not None:
            self._tell(type, arguments)

    def emit_message(self, data: str | bytes) -> None:
        """``emit('message', data)``, the one event that is emitted a hundred thousand times a second."""
        observer = self.observer
        if observer is not None:
            observer.message(data)
        if self._listeners is not None:
            self._tell('message', (data,))

    def _tell(self, type: str, arguments: tuple[Any, ...]) -> None:
        assert self._listeners is not None
        for listener in tuple(self._listeners.get(type, ())):
            listener(*arguments)
