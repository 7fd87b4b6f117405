"""The base class of drivers that emits their events.

Listeners are called at once, in the order in which they were added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ['EventEmitter', 'Observer']

Listener = Callable[..., Any]


class Observer:
    """The base class of an object that is notified of every event of an emitter.

    It takes less memory than a listener for each event.
    """

    __slots__ = ()

    def notify(self, type: str, *arguments: Any) -> None:
        """Handle the event ``type`` with its arguments; any but a message."""
        raise NotImplementedError

    def message(self, data: str | bytes) -> None:
        """Handle a message."""
        raise NotImplementedError


class EventEmitter:
    """Listeners by event type, and an optional ``observer`` of all events."""

    __slots__ = ('_listeners', 'observer')

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] | None = None
        self.observer: Observer | None = None

    def on(self, type: str, listener: Listener) -> Listener:
        """Call ``listener`` with the arguments of each event of this ``type``."""
        if self._listeners is None:
            self._listeners = {}
        self._listeners.setdefault(type, []).append(listener)
        return listener

    def emit(self, type: str, *arguments: Any) -> None:
        """Notify the observer, then call the listeners.

        Exceptions of theirs are not caught.
        """
        if self.observer is not None:
            self.observer.notify(type, *arguments)
        if self._listeners is not None:
            self._tell(type, arguments)

    def emit_message(self, data: str | bytes) -> None:
        """Emit ``message``, by a shorter path than ``emit('message', data)``.

        It is the only event that is emitted a hundred thousand times a second.
        """
        observer = self.observer
        if observer is not None:
            observer.message(data)
        if self._listeners is not None:
            self._tell('message', (data,))

    def _tell(self, type: str, arguments: tuple[Any, ...]) -> None:
        assert self._listeners is not None
        for listener in tuple(self._listeners.get(type, ())):
            listener(*arguments)
