"""Events and event targets, after the DOM.

They follow Event, MessageEvent, CloseEvent, ErrorEvent and EventTarget.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar, overload

from gevent import GreenletExit

from . import calls
from .calls import check_is_not_async

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

# These exceptions end the greenlet or the process in which they are raised. Any other
# exception of a handler is contained, because it concerns one connection only.
NOT_CONTAINED = (GreenletExit, SystemExit, KeyboardInterrupt)


class Event:
    """An event, after the DOM's Event.

    ``type`` is its name, such as ``'open'``. ``target`` is the socket at which it
    happened, and ``current_target`` the socket whose handler is running.
    """

    __slots__ = ('current_target', 'target', 'type')

    def __init__(self, type: str) -> None:
        self.type = type
        self.target: Any = None
        self.current_target: Any = None

    def __repr__(self) -> str:
        names = [
            name
            for cls in type(self).__mro__
            for name in getattr(cls, '__slots__', ())
            if 'target' not in name
        ]
        return f'<{type(self).__name__} {" ".join(f"{name}={getattr(self, name)!r}" for name in reversed(names))}>'


class MessageEvent(Event):
    """A message, after the DOM's MessageEvent.

    ``data`` is a ``str`` for a text message, and ``bytes`` for a binary one.
    """

    __slots__ = ('data',)

    def __init__(self, data: str | bytes) -> None:
        super().__init__('message')
        self.data = data


def make_message_event(data: str | bytes) -> MessageEvent:
    """Return ``MessageEvent(data)``.

    There is one for every message, and a call of the class would cost the compiled form
    a tuple.
    """
    event = MessageEvent.__new__(MessageEvent)
    event.type = 'message'
    event.target = None
    event.current_target = None
    event.data = data
    return event


class CloseEvent(Event):
    """The end of a connection, after the DOM's CloseEvent.

    ``code`` (int) and ``reason`` (str) are those of RFC 6455 section 7.1.5 and 7.1.6:
    1005 if the peer sent no code, 1006 if the connection was lost. ``was_clean`` says
    whether the closing handshake was completed.
    """

    __slots__ = ('code', 'reason', 'was_clean')

    def __init__(self, code: int, reason: str, was_clean: bool) -> None:
        super().__init__('close')
        self.code = code
        self.reason = reason
        self.was_clean = was_clean


class ErrorEvent(Event):
    """A fault, after the DOM's ErrorEvent.

    ``message`` (str) describes it, and ``error`` is the exception, or ``None``.
    """

    __slots__ = ('error', 'message')

    def __init__(self, message: str, error: BaseException | None = None) -> None:
        super().__init__('error')
        self.message = message
        self.error = error


class EventHandler:
    """The descriptor of an attribute such as ``onopen``: one handler, or None.

    It may be set at any time. Raise TypeError for a value that is not callable, or that
    is an ``async def`` function.
    """

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
        if handler is not None:
            if not callable(handler):
                raise TypeError(f'on{self._type}: expected a callable or None, got {handler!r}')
            check_is_not_async(f'on{self._type}', handler)
        setattr(target, self._slot, handler)
        if handler is not None:
            target._handler_added(self._type)


_HANDLERS = {
    type: attrgetter(f'_on{type}') for type in ('open', 'message', 'error', 'close', 'drain')
}


class EventTarget:
    """A target of events, after the DOM's EventTarget.

    Each type of event has any number of listeners, and an attribute for one handler.
    """

    __slots__ = ('_listeners', '_onclose', '_ondrain', '_onerror', '_onmessage', '_onopen')

    onopen = EventHandler('open')
    onmessage = EventHandler('message')
    onerror = EventHandler('error')
    onclose = EventHandler('close')
    ondrain = EventHandler('drain')

    # The log of sockets of this kind; the subclasses have others.
    _own_logger = logging.getLogger('faye_websocket')

    def __init__(self) -> None:
        # A tuple of pairs. A dict of lists takes three times the memory of an idle
        # connection.
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
        """Add a listener for events of this ``type``, and return it.

        Without a ``handler``, return a decorator that adds one. Raise ValueError for an
        unknown type of event.
        """
        self._check_type(type)
        if handler is None:
            return lambda function: self.on(type, function)
        self.add_event_listener(type, handler)
        return handler

    def add_event_listener(self, type: str, listener: Handler) -> None:
        """Add a listener, as the DOM's addEventListener does.

        Adding one twice has no effect. Raise TypeError if it is not callable, or async,
        and ValueError for an unknown type of event.
        """
        self._check_type(type)
        if not callable(listener):
            raise TypeError(f'listener: expected a callable, got {listener!r}')
        check_is_not_async('listener', listener)
        if (type, listener) not in self._listeners:
            self._listeners += ((type, listener),)
        self._handler_added(type)

    def _share_listener(self, listeners: tuple[tuple[str, Handler]]) -> None:
        """Add the listener of a tuple that other sockets refer to, too.

        An empty tuple and another one are that one itself, so that a socket without
        further listeners needs no memory for it. The type and the listener are valid.
        """
        if listeners[0] not in self._listeners:
            self._listeners += listeners
        self._handler_added(listeners[0][0])

    def remove_event_listener(self, type: str, listener: Handler) -> None:
        """Remove a listener, as the DOM's removeEventListener does.

        Do nothing if there is no such listener.
        """
        self._listeners = tuple(pair for pair in self._listeners if pair != (type, listener))

    def dispatch_event(self, event: Event) -> bool:
        """Call the handlers of an event at once, as the DOM's dispatchEvent does.

        As in the DOM, each of them is called even if another one raises. An exception
        is logged, passed to ``onerror``, and closes the socket with 1011. Only
        GreenletExit, SystemExit and KeyboardInterrupt are raised to the caller. Return
        True.
        """
        event.target = event.current_target = self
        type = event.type
        if type == 'message':
            # Most events are messages. Looking up the attribute by its name would take
            # longer than the rest of this function.
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
                # DOM: a listener that was removed in the meantime is not called.
                if pair[0] == type and (self._listeners is listeners or pair in self._listeners):
                    try:
                        calls.call(pair[1], event)
                    except BaseException as error:
                        self._handler_raised(event, error)
        return True

    def _call(self, function: Callable[[], object]) -> None:
        """Call a ping's callback. Sockets with a context have another way."""
        function()

    def _check_type(self, type: str) -> None:
        if type not in _HANDLERS and not (type and hasattr(self.__class__, f'on{type}')):
            raise ValueError(
                f'type: unknown event type {type!r}, expected one of {", ".join(_HANDLERS)}'
            )

    def _handler_raised(self, event: Event, error: BaseException) -> None:
        """Handle an exception that a handler of ``event`` has raised: raise it here."""
        raise error

    def _handler_added(self, type: str) -> None:
        """Do nothing. Sockets override this to deliver the events they have kept."""


class DeclaredHandlers:
    """A base class that forbids setting an attribute ``on...`` that the class lacks.

    A handler with a misspelt name would never be called. ``EventTarget`` cannot check
    this: in the compiled form, a class that defines ``__setattr__`` cannot call that of
    ``object``.
    """

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute. Raise AttributeError for a handler with an unknown name."""
        if calls.begins_with(name, 'on') and not hasattr(type(self), name):
            handlers = ', '.join(f'on{type}' for type in _HANDLERS)
            raise AttributeError(f'{name}: unknown handler, expected one of {handlers}')
        calls.set_attribute(self, name, value)
