"""Dispatcher: the events of one connection, on their way to its handlers.

In go events, on the hub or in any greenlet of its thread; out they come one by one, in order, in a worker greenlet that exists
only while there is something to deliver. An event for which there never was a handler is kept for the first one: a socket may
work before its user has finished setting it up. What a handler raises is logged and told to the owner, and harms nobody else.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from ..events import NOT_CONTAINED, ErrorEvent, Event, MessageEvent, make_message_event
from . import interpreter
from .owner import Owner
from .reactor import current_job
from .scheduler import Job, Scheduler

__all__ = ['TOO_MANY', 'Callback', 'Dispatcher', 'Target']

logger = logging.getLogger('faye_websocket')

# In place of a number of messages.
TOO_MANY = sys.maxsize

# Whether a queue is one of the reactor's jobs, and what has become of that.
_IDLE, _QUEUED, _AT_WORK = range(3)
# Types of events that wait for a handler; a missed drain is no loss.
_OPEN, _MESSAGE = 1, 2
_KEPT = {'open': _OPEN, 'message': _MESSAGE, 'error': 4, 'close': 8}
# Messages were asked for without a handler; and nobody has asked for any in all that time.
_ASKED, _UNWANTED = 16, 32


# What waits: of a message only its data, since its event would take 64 bytes more.
Waiting = Event | str | bytes


def _rank(waiting: Waiting) -> int:
    """The place of an event among those of other types: open comes first, an error is followed by close only."""
    return _KEPT.get(waiting.type, _MESSAGE) if isinstance(waiting, Event) else _MESSAGE


class Target(Protocol):
    """The socket that a connection works for, which has the handlers."""

    @property
    def url(self) -> str:
        """The URL, which the log names."""

    def dispatch_event(self, event: Event) -> object:
        """Run them. They may block; what they raise comes to ``handler_raised``."""


class Callback(Event):
    """Carries a function to the handlers' greenlet; it runs there when its turn comes."""

    __slots__ = ('run',)

    def __init__(self, run: Callable[[], object]) -> None:
        super().__init__('callback')
        self.run = run


class Dispatcher(Job):
    """The queue of one connection, and the worker that empties it. Its length counts the kept messages too.

    ``room`` is how many bytes of messages may come until there may be too many, which ``count_room`` finds out: to count those
    that go, too, would cost as much again. While ``is_full``, which its owner sets, it is true, and the owner hears of every
    event that waits no more; of the end of the close event it always does.
    """

    __slots__ = (
        '_events',
        '_handled',
        '_has_opened',
        '_is_awaited',
        '_is_running',
        '_kept',
        '_messages',
        '_owner',
        '_ready',
        '_scheduler',
        'is_full',
        'room',
        'target',
    )

    def __init__(self, target: Target, owner: Owner, scheduler: Scheduler, room: int = sys.maxsize) -> None:
        self.target = target
        self._owner = owner
        self._scheduler = scheduler
        # What waits: new events in their order, and, in reverse, those whose turn it is. Both lists exist while there are any.
        self._events: list[Waiting] | None = None
        self._ready: list[Waiting] | None = None
        # What no handler was there for: messages, which may be many; an open event, for which many a socket never has one, so
        # it is made anew if one comes; and the rest.
        self._messages: deque[str | bytes] | None = None
        self._has_opened = False
        self._kept: list[Event] | None = None
        self._handled = 0
        self._is_awaited = False
        self._is_running = _IDLE
        self.is_full = False
        self.room = room

    def __len__(self) -> int:
        return self._count() + len(self._messages or ())

    def _count(self) -> int:
        """How many events wait to be delivered."""
        count = len(self._events) if self._events is not None else 0
        return count + len(self._ready) if self._ready is not None else count

    def push(self, event: Event) -> None:
        """Delivers an event after those that wait."""
        if event.type == 'open' and not self._handled & _OPEN:
            # As it is for most sockets: no worker is needed for that.
            self._has_opened = True
            return
        self._append(event)
        self._awaken()

    def _append(self, waiting: Waiting) -> None:
        if self._events is None:
            self._events = [waiting]
        else:
            self._events.append(waiting)

    def push_message(self, data: str | bytes) -> int:
        """Delivers a message, or keeps it at once for ``take_message``, which may be called where no worker comes.

        Answers how many wait now, or TOO_MANY when there may be too many bytes of them; 0 if it is dropped. To be called
        between ``hold`` and ``run``.
        """
        handled = self._handled
        if handled & _UNWANTED:
            return 0
        room = self.room = self.room - interpreter.get_size(data)
        if not handled & _MESSAGE:
            if self._messages is None:
                self._messages = deque()
            self._messages.append(data)
            return len(self._messages) if room >= 0 else TOO_MANY
        self._append(data)
        return self._count() if room >= 0 else TOO_MANY

    def count_room(self, whole: int) -> None:
        """Makes ``room`` true, where ``whole`` bytes may wait."""
        waiting = (*(self._ready or ()), *(self._events or ()), *(self._messages or ()))
        self.room = whole - sum([interpreter.get_size(each) for each in waiting if not isinstance(each, Event)])

    @property
    def is_current(self) -> bool:
        """Whether the caller is a handler of this connection."""
        return current_job() is self

    @property
    def has_message(self) -> bool:
        """Whether ``take_message`` would return one."""
        return bool(self._messages)

    def take_message(self) -> str | bytes | None:
        """The first of the messages that no handler was there for."""
        self._want(_ASKED)
        if not self._messages:
            return None
        data = self._messages.popleft()
        if self.is_full:
            self.room += interpreter.get_size(data)
        return data

    @property
    def is_wanted(self) -> bool:
        """Whether anybody has ever asked for a message, by a handler or by ``take_message``."""
        return self._handled & (_MESSAGE | _ASKED) != 0

    @property
    def is_busy(self) -> bool:
        """Whether a message that comes now has to wait for a handler that runs, or that is not there."""
        return bool(self._is_running) or not self._handled & _MESSAGE

    def refuse_messages(self) -> None:
        """Drops messages from now on, until somebody asks for one. Those that wait are kept."""
        self._handled |= _UNWANTED

    def _want(self, kind: int) -> None:
        self._handled = (self._handled | kind) & ~_UNWANTED

    def drop_messages(self) -> None:
        """Forget the messages that no handler was called with yet.

        WHATWG WebSockets: a message is not delivered once ``close`` was called. Those that
        were kept for ``take_message`` stay.
        """
        if self._events is not None:
            self._events = [each for each in self._events if isinstance(each, Event)] or None
        if self._ready:
            self._ready = [each for each in self._ready if isinstance(each, Event)]

    def handler_added(self, type: str) -> None:
        """There is a handler for this type: it gets the events that were kept, before those that wait."""
        self._handled |= _KEPT.get(type, 0)
        kept: Iterable[Waiting] = ()
        if type == 'message':
            self._want(_MESSAGE)
            kept, self._messages = self._messages or (), None
        elif type == 'open':
            kept, self._has_opened = [Event('open')] if self._has_opened else (), False
        elif self._kept is not None:
            kept = [event for event in self._kept if event.type == type]
            self._kept = [event for event in self._kept if event.type != type] or None
        if kept:
            # Sorting is stable, and handlers that are set together see the events in the order they had.
            self._events = sorted((*kept, *reversed(self._ready or ()), *(self._events or ())), key=_rank)
            self._ready = None
            self._awaken()

    def hold(self) -> None:
        """Says that ``run`` will follow, on the hub, in this same callback."""
        self._is_awaited = True

    def run(self, size: int = 0) -> bool:
        """Has what waits, which came in ``size`` bytes, delivered in a worker; True if that is yet to be done.

        Only the hub may call this.
        """
        self._is_awaited = False
        if self._is_running or not self._count():
            return False
        self._is_running = _QUEUED
        return self._scheduler.run(self, size)

    def run_now(self) -> None:
        """The same at once."""
        self.run()
        self._scheduler.run_jobs()

    def rest(self) -> None:
        """A handler blocks."""
        self._owner.rests()

    def drain(self) -> None:
        """The worker's part."""
        event: Event | None = None
        try:
            self._is_running = _AT_WORK
            while (self._ready or self._turn()) and not self._scheduler.is_inherited():
                assert self._ready is not None
                waiting = self._ready.pop()
                if self.is_full:
                    self._leave(waiting)
                event = waiting if isinstance(waiting, Event) else make_message_event(waiting)
                self._deliver(event)
                if not isinstance(event, MessageEvent) and event.type == 'close':
                    self._owner.delivered(event)
        except BaseException:
            # Exceptions stop in _deliver; this is a GreenletExit, a SystemExit or the like, and ends this greenlet. Another
            # will deliver the rest.
            self._is_running = _IDLE
            self._owner.failed()
            if event is not None and event.type == 'close':
                self._owner.delivered(event)
            self._awaken()
            raise
        self._ready = None
        self._is_running = _IDLE
        self._owner.rests()

    def recover(self) -> None:
        """Deliver what waits after all: an exception came before that could begin."""
        if self._is_running == _QUEUED:
            self._scheduler.cancel(self)
            self._is_running = _IDLE
        self._is_awaited = False
        self._awaken()
        # What the handlers have sent may wait for the end that was cut short.
        self._scheduler.run_callback(self.rest)

    def _leave(self, waiting: Waiting) -> None:
        """An event is about to be delivered, of a queue that was full."""
        if not isinstance(waiting, Event):
            self.room += interpreter.get_size(waiting)
        self._owner.relieved()

    def _turn(self) -> bool:
        """Has those that wait be those whose turn it is; False when none wait."""
        if self._events is None:
            return False
        self._ready, self._events = self._events, None
        self._ready.reverse()
        return True

    def _awaken(self) -> None:
        """Has the hub run the queue, unless somebody is at it or will be."""
        if not self._is_running and not self._is_awaited and self._count():
            self._is_awaited = True
            self._scheduler.run_callback(self.run)

    def _deliver(self, event: Event) -> None:
        """Runs one event's handlers."""
        try:
            # Where a message is kept is push_message.
            if isinstance(event, MessageEvent):
                self.target.dispatch_event(event)
            elif isinstance(event, Callback):
                event.run()
            elif event.type in _KEPT and not self._handled & _KEPT[event.type]:
                self._keep(event)
            else:
                self.target.dispatch_event(event)
        except BaseException as error:
            self.handler_raised(event, error)

    def _keep(self, event: Event) -> None:
        """For the first handler of its type."""
        self._kept = [*(self._kept or ()), event]

    def handler_raised(self, event: Event, error: BaseException) -> None:
        """Contain a handler's fault: log it, close this connection, and give it to ``onerror``.

        What ends the greenlet or the process, such as GreenletExit, is raised again.
        """
        if isinstance(error, NOT_CONTAINED):
            raise error
        logger.error('%s handler of %s raised', event.type, self.target.url, exc_info=error)
        self._owner.failed()
        # What onerror itself raises would come back to it.
        if event.type != 'error':
            self._deliver(ErrorEvent(f'{event.type} handler raised {error!r}', error))
