"""Events and their target, after the DOM's Event, MessageEvent, CloseEvent, ErrorEvent and EventTarget."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar, overload

from gevent import GreenletExit

from . import calls

__all__ = [
    'NOT_CONTAINED',
    'CloseEvent',
    'DeclaredHandlers',
    'ErrorEvent',
    'Event',
    'EventHandler',
    'EventTarget',
    'MessageEvent',
    'make_message_event',
]

Handler = Callable[[Any], object]
HandlerType = TypeVar('HandlerType', bound=Handler)

# These end the greenlet or the process that they are raised in. Everything else that a
# handler raises is its fault, and concerns its own connection only.
NOT_CONTAINED = (GreenletExit, SystemExit, KeyboardInterrupt)


class Event:
    """DOM's Event: its ``type``, the socket it happened to (``target``), and the one whose handler runs."""

    __slots__ = ('current_target', 'target', 'type')

    def __init__(self, type: str) -> None:
        self.type = type
        self.target: Any = None
        self.current_target: Any = None

    def __repr__(self) -> str:
        names = [name for cls in type(self).__mro__ for name in getattr(cls, '__slots__', ()) if 'target' not in name]
        return f'<{type(self).__name__} {" ".join(f"{name}={getattr(self, name)!r}" for name in reversed(names))}>'


class MessageEvent(Event):
    """A message: ``data`` is ``str`` for text, ``bytes`` for binary."""

    __slots__ = ('data',)

    def __init__(self, data: str | bytes) -> None:
        super().__init__('message')
        self.data = data


def make_message_event(data: str | bytes) -> MessageEvent:
    """``MessageEvent(data)``. There is one for every message, and ``__init__`` would cost the compiled form a tuple."""
    event = MessageEvent.__new__(MessageEvent)
    event.type = 'message'
    event.target = None
    event.current_target = None
    event.data = data
    return event


class CloseEvent(Event):
    """The end of the connection: ``code`` and ``reason``, and whether the closing handshake was completed."""

    __slots__ = ('code', 'reason', 'was_clean')

    def __init__(self, code: int, reason: str, was_clean: bool) -> None:
        super().__init__('close')
        self.code = code
        self.reason = reason
        self.was_clean = was_clean


class ErrorEvent(Event):
    """Something went wrong: ``message`` says what, ``error`` is the exception, or ``None``."""

    __slots__ = ('error', 'message')

    def __init__(self, message: str, error: BaseException | None = None) -> None:
        super().__init__('error')
        self.message = message
        self.error = error


class EventHandler:
    """An ``onopen``, ``onmessage``, ... attribute: one handler or ``None``, settable at any time."""

    __slots__ = ('_slot', '_type')

    def __init__(self, type: str) -> None:
        self._type = type
        self._slot = f'_on{type}'

    @overload
    def __get__(self, target: None, owner: type) -> EventHandler: ...

    @overload
    def __get__(self, target: EventTarget, owner: type) -> Handler | None: ...

    def __get__(self, target: EventTarget | None, owner: type) -> EventHandler | Handler | None:
        if target is None:
            return self
        handler: Handler | None = getattr(target, self._slot)
        return handler

    def __set__(self, target: EventTarget, handler: Handler | None) -> None:
        if handler is not None and not callable(handler):
            raise TypeError(f'on{self._type}: expected a callable or None, got {handler!r}')
        setattr(target, self._slot, handler)
        if handler is not None:
            target._handler_added(self._type)


_HANDLERS = {type: attrgetter(f'_on{type}') for type in ('open', 'message', 'error', 'close', 'drain')}


class EventTarget:
    """DOM's EventTarget, with one handler attribute for each type beside the listeners."""

    __slots__ = ('_listeners', '_onclose', '_ondrain', '_onerror', '_onmessage', '_onopen')

    onopen = EventHandler('open')
    onmessage = EventHandler('message')
    onerror = EventHandler('error')
    onclose = EventHandler('close')
    ondrain = EventHandler('drain')

    def __init__(self) -> None:
        # Pairs in a tuple: a dict of lists would cost an idle connection three times the memory.
        self._listeners: tuple[tuple[str, Handler], ...] = ()
        self._onopen: Handler | None = None
        self._onmessage: Handler | None = None
        self._onerror: Handler | None = None
        self._onclose: Handler | None = None
        self._ondrain: Handler | None = None

    @overload
    def on(self, type: str, handler: None = None) -> Callable[[HandlerType], HandlerType]: ...

    @overload
    def on(self, type: str, handler: HandlerType) -> HandlerType: ...

    def on(self, type: str, handler: Any = None) -> Any:
        """Add a listener for events of this ``type``; without a ``handler``, return a decorator that adds one.

        Raises ValueError for a type that there is not.
        """
        self._check_type(type)
        if handler is None:
            return lambda function: self.on(type, function)
        self.add_event_listener(type, handler)
        return handler

    def add_event_listener(self, type: str, listener: Handler) -> None:
        """DOM's addEventListener: adding the same listener twice adds it once.

        Raises TypeError if it is not callable, and ValueError for a type that there is not.
        """
        self._check_type(type)
        if not callable(listener):
            raise TypeError(f'listener: expected a callable, got {listener!r}')
        if (type, listener) not in self._listeners:
            self._listeners += ((type, listener),)
        self._handler_added(type)

    def remove_event_listener(self, type: str, listener: Handler) -> None:
        """DOM's removeEventListener: does nothing when there is no such listener."""
        self._listeners = tuple(pair for pair in self._listeners if pair != (type, listener))

    def dispatch_event(self, event: Event) -> bool:
        """DOM's dispatchEvent: run the handlers at once, here.

        As in the DOM each of them is run, whatever the others raise. A fault is logged,
        given to ``onerror``, and closes the socket with 1011; only GreenletExit, SystemExit
        and KeyboardInterrupt pass through.
        """
        event.target = event.current_target = self
        type = event.type
        if type == 'message':
            # Nearly every event is one, and looking its attribute up by a name costs more than all the rest here.
            handler = self._onmessage
        else:
            get_handler = _HANDLERS.get(type)
            handler = get_handler(self) if get_handler is not None else None
        if handler is not None:
            try:
                calls.call(handler, event)
            except BaseException as error:
                self._handler_raised(event, error)
        if self._listeners:
            listeners = self._listeners
            for pair in listeners:
                # DOM: one that was removed meanwhile is not called.
                if pair[0] == type and (self._listeners is listeners or pair in self._listeners):
                    try:
                        calls.call(pair[1], event)
                    except BaseException as error:
                        self._handler_raised(event, error)
        return True

    def _check_type(self, type: str) -> None:
        if type not in _HANDLERS and not (type and hasattr(self.__class__, f'on{type}')):
            raise ValueError(f'type: there are no events of the type {type!r}, only {", ".join(_HANDLERS)}')

    def _handler_raised(self, event: Event, error: BaseException) -> None:
        """Contain what a handler of ``event`` has raised, unless it is to pass through."""
        raise error

    def _handler_added(self, type: str) -> None:
        """There is a handler for events of this type now; a socket delivers those that waited for one."""


class DeclaredHandlers:
    """A base for sockets: an attribute ``on...`` that the class does not declare cannot be set.

    A handler with a misspelt name would never be called. ``EventTarget`` cannot do this
    itself: compiled, a class that defines ``__setattr__`` cannot call ``object``'s.
    """

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        """Raise AttributeError for a handler that there is not."""
        if name.startswith('on') and not hasattr(type(self), name):
            handlers = ', '.join(f'on{type}' for type in _HANDLERS)
            raise AttributeError(f'{name}: there is no such handler, only {handlers}')
        super().__setattr__(name, value)
