"""Dispatcher: the events of one connection, on their way to its handlers.

In go events, on the hub or in any greenlet of its thread; out they come one by one, in order, in a worker greenlet that exists
only while there is something to deliver. An event for which there never was a handler is kept for the first one: a socket may
work before its user has finished setting it up. What a handler raises is logged and told to the owner, and harms nobody else.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Protocol

from .events import ErrorEvent, Event, MessageEvent
from .reactor import Reactor

__all__ = ['Callback', 'Dispatcher', 'Owner']

logger = logging.getLogger('faye_websocket')

# Types of events that wait for a handler; a missed drain is no loss.
_MESSAGE = 2
_KEPT = {'open': 1, 'message': _MESSAGE, 'error': 4, 'close': 8}


class Target(Protocol):
    """Who has the handlers."""

    @property
    def url(self) -> str:
        """Named in the log when a handler raises."""

    def dispatch_event(self, event: Event) -> object:
        """Runs them. They may block, and raise."""


class Owner(Protocol):
    """Who pushes the events."""

    def delivered(self, event: Event) -> None:
        """The handlers of ``event`` have run, or it is kept."""

    def failed(self) -> None:
        """A handler raised, or its greenlet was killed."""


class Callback(Event):
    """Carries a function to the handlers' greenlet; it runs there when its turn comes."""

    __slots__ = ('run',)

    def __init__(self, run: object) -> None:
        super().__init__('callback')
        self.run = run


class Dispatcher:
    """The queue of one connection, and the worker that empties it. Its length counts the kept messages too."""

    __slots__ = ('_events', '_handled', '_is_awaited', '_is_running', '_kept', '_owner', '_reactor', '_target')

    def __init__(self, target: Target, owner: Owner, reactor: Reactor) -> None:
        self._target = target
        self._owner = owner
        self._reactor = reactor
        self._events: deque[Event] | None = None
        self._kept: list[Event] | None = None
        self._handled = 0
        self._is_awaited = False
        self._is_running = False

    def __len__(self) -> int:
        kept = sum(event.type == 'message' for event in self._kept) if self._kept is not None else 0
        return kept + (len(self._events) if self._events is not None else 0)

    def push(self, event: Event) -> None:
        """Delivers an event after those that wait."""
        if self._events is None:
            self._events = deque()
        self._events.append(event)
        self._awaken()

    def push_message(self, data: str | bytes) -> None:
        """Delivers a message, or keeps it at once for ``take_message``, which may be called where no worker comes."""
        if self._handled & _MESSAGE:
            self.push(MessageEvent(data))
        else:
            self._keep(MessageEvent(data))

    def take_message(self) -> MessageEvent | None:
        """The first of the messages that no handler was there for."""
        for index, event in enumerate(self._kept or ()):
            if isinstance(event, MessageEvent):
                del self._kept[index]
                return event
        return None

    def handler_added(self, type: str) -> None:
        """There is a handler for this type: it gets the events that were kept, before those that wait."""
        self._handled |= _KEPT.get(type, 0)
        if self._kept is not None:
            kept = [event for event in self._kept if event.type == type]
            self._kept = [event for event in self._kept if event.type != type] or None
            self._events = deque((*kept, *(self._events or ())))
            self._awaken()

    def hold(self) -> None:
        """Says that ``run`` will follow, on the hub, in this same callback."""
        self._is_awaited = True

    def run(self) -> None:
        """Delivers what waits, in a worker. Only the hub may call this."""
        self._is_awaited = False
        if self._events and not self._is_running:
            self._is_running = True
            self._reactor.run(self)

    def drain(self) -> None:
        """The worker's part."""
        try:
            while self._events:
                event = self._events.popleft()
                self._deliver(event)
                self._owner.delivered(event)
        except BaseException:
            # Exceptions stop in _deliver; this is a GreenletExit, a SystemExit or the like, and ends this greenlet. Another will
            # deliver the rest.
            self._is_running = False
            self._owner.failed()
            self._awaken()
            raise
        self._events = None
        self._is_running = False

    def _awaken(self) -> None:
        """Has the hub run the queue, unless somebody is at it or will be."""
        if self._events and not self._is_running and not self._is_awaited:
            self._is_awaited = True
            self._reactor.loop.run_callback(self.run)

    def _deliver(self, event: Event) -> None:
        """Runs one event's handlers."""
        bit = _KEPT.get(event.type, 0)
        if bit and not self._handled & bit:
            self._keep(event)
            return
        try:
            if isinstance(event, Callback):
                event.run()
            else:
                self._target.dispatch_event(event)
        except Exception as error:
            self._handler_raised(event, error)

    def _handler_raised(self, event: Event, error: Exception) -> None:
        """The handler's fault: logged once, told to ``onerror``, and the end of this connection only."""
        logger.error('%s handler of %s raised', event.type, self._target.url, exc_info=error)
        self._owner.failed()
        # Nothing comes after the close event, and a fault of onerror is not told to onerror.
        if event.type not in ('error', 'close'):
            self._deliver(ErrorEvent(f'{event.type} handler raised {error!r}', error))

    def _keep(self, event: Event) -> None:
        if self._kept is None:
            self._kept = []
        self._kept.append(event)
