"""Dispatcher: the events of one connection, on their way to its handlers.

Events are pushed on the hub, or in any greenlet of its thread. They are delivered one
by one, in order, in a worker greenlet, which the connection has only while there is
something to deliver. An event for which there never was a handler is kept for the first
one: a socket may work before its user has finished setting it up. What a handler raises
is logged and reported to the owner, and affects no other connection.

An event waits in one of five places:

===============  ================================  =====================================
place            what waits there, in which order  until when
===============  ================================  =====================================
``_events``      new events, oldest first          the worker has none ready: it moves
                                                   them all to ``_ready``
``_ready``       events whose turn it is, oldest   the worker delivers each of them
                 last
``_messages``    messages without a handler,       ``take_message``, or the first handler
                 oldest first                      of messages
``_has_opened``  the open event without a handler  the first handler of open, for which it
                                                   is made anew
``_kept``        errors and the close event        the first handler of their type
                 without a handler, oldest first
===============  ================================  =====================================

"Without a handler" means that there never was one for this type of event. Of a message
only the data waits: its event would take 64 bytes more. What a first handler gets is
put before all of ``_events`` and ``_ready``, in the order of its type.

What is done about ``_events`` and ``_ready`` is a pair of states:

===============  ===============  ======================================================
``_is_running``  ``_is_awaited``  meaning
===============  ===============  ======================================================
``_IDLE``        False            both are empty
``_IDLE``        True             ``run`` is called soon: by the loop, or by the caller
                                  of ``hold``
``_QUEUED``      False            the queue is one of the scheduler's jobs
``_AT_WORK``     False            a worker delivers, and runs until both are empty
===============  ===============  ======================================================

While one read is handled, between ``hold`` and ``run``, ``_is_awaited`` is true in any
state, so that no message of it starts anything.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from ..events import NOT_CONTAINED, ErrorEvent, Event, MessageEvent, make_message_event
from . import interpreter
from .faults import Logged, log_fault
from .owner import Owner
from .reactor import current_job
from .scheduler import Job, Scheduler

__all__ = ['TOO_MANY', 'Callback', 'Dispatcher', 'Target']

# Returned for a number of messages, when they have too many bytes.
TOO_MANY = sys.maxsize

# What is done about the queue: see above.
_IDLE, _QUEUED, _AT_WORK = range(3)
# Bits of ``_handled``: for which types of events there is a handler, or was. A type
# that is not among them, such as drain, is never kept.
_OPEN, _MESSAGE = 1, 2
_KEPT = {'open': _OPEN, 'message': _MESSAGE, 'error': 4, 'close': 8}
# ``take_message`` was called; messages are dropped, since they were never asked for.
_ASKED, _UNWANTED = 16, 32


# An event, or the data of a message.
Waiting = Event | str | bytes


def _rank(waiting: Waiting) -> int:
    """Return the place of an event in the order open, message, error, close."""
    return _KEPT.get(waiting.type, _MESSAGE) if isinstance(waiting, Event) else _MESSAGE


class Target(Logged, Protocol):
    """The socket that a connection works for, which has the handlers."""

    def dispatch_event(self, event: Event) -> object:
        """Run the handlers.

        They may block; what they raise goes to ``handler_raised``.
        """

    def _call(self, function: Callable[[], object]) -> object:
        """Call a ping's callback, as a handler is called."""


class Callback(Event):
    """A function that runs in the handlers' greenlet when its turn comes."""

    __slots__ = ('run',)

    def __init__(self, run: Callable[[], object]) -> None:
        super().__init__('callback')
        self.run = run


class Dispatcher(Job):
    """The queue of one connection. Its length counts the kept messages too.

    ``room`` is how many bytes of messages may come until there may be too many. It is
    exact after ``count_room``, and while ``is_full``, which the owner sets. Otherwise
    it does not grow with the messages that are delivered: to count those too would cost
    as much again. While ``is_full`` the owner's ``relieved`` is called for every event
    that is about to be delivered. Its ``delivered`` is called after the close event.
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

    def __init__(
        self, target: Target, owner: Owner, scheduler: Scheduler, room: int = sys.maxsize
    ) -> None:
        self.target = target
        self._owner = owner
        self._scheduler = scheduler
        # The five places. An empty list, or deque, is None.
        self._events: list[Waiting] | None = None
        self._ready: list[Waiting] | None = None
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
        """Return how many events wait to be delivered."""
        count = len(self._events) if self._events is not None else 0
        return count + len(self._ready) if self._ready is not None else count

    def push(self, event: Event) -> None:
        """Deliver an event after those that wait."""
        if event.type == 'open' and not self._handled & _OPEN:
            # Most sockets never have a handler for it: no worker is needed.
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
        """Deliver a message, or keep it for ``take_message`` if there is no handler.

        Returns how many wait now, TOO_MANY if they may have too many bytes, or 0 if
        this one was dropped. To be called between ``hold`` and ``run``.
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
        """Make ``room`` exact, where ``whole`` bytes may wait."""
        waiting = (*(self._ready or ()), *(self._events or ()), *(self._messages or ()))
        self.room = whole - sum(
            [interpreter.get_size(each) for each in waiting if not isinstance(each, Event)]
        )

    @property
    def is_current(self) -> bool:
        """Whether the caller is a handler of this connection."""
        return current_job() is self

    @property
    def has_message(self) -> bool:
        """Whether ``take_message`` would return one."""
        return bool(self._messages)

    def take_message(self) -> str | bytes | None:
        """Return the first of the messages without a handler, or None."""
        self._want(_ASKED)
        if not self._messages:
            return None
        data = self._messages.popleft()
        if self.is_full:
            self.room += interpreter.get_size(data)
        return data

    @property
    def is_wanted(self) -> bool:
        """Whether a message was ever asked for, by a handler or ``take_message``."""
        return self._handled & (_MESSAGE | _ASKED) != 0

    @property
    def is_busy(self) -> bool:
        """Whether a message that comes now waits: a handler runs, or there is none."""
        return bool(self._is_running) or not self._handled & _MESSAGE

    def refuse_messages(self) -> None:
        """Drop messages from now on, until one is asked for.

        Those that wait are kept.
        """
        self._handled |= _UNWANTED

    def _want(self, kind: int) -> None:
        self._handled = (self._handled | kind) & ~_UNWANTED

    def drop_messages(self) -> None:
        """Forget the messages that no handler was called with yet.

        WHATWG WebSockets: a message is not delivered once ``close`` was called. Those
        that were kept for ``take_message`` stay.
        """
        if self._events is not None:
            self._events = [each for each in self._events if isinstance(each, Event)] or None
        if self._ready:
            self._ready = [each for each in self._ready if isinstance(each, Event)]

    def handler_added(self, type: str) -> None:
        """Deliver the events of this type that were kept, before those that wait."""
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
            # Sorting is stable: handlers that are set together see the events in their
            # order.
            self._events = sorted(
                (*kept, *reversed(self._ready or ()), *(self._events or ())), key=_rank
            )
            self._ready = None
            self._awaken()

    def hold(self) -> None:
        """Announce that ``run`` follows on the hub, in this very callback."""
        self._is_awaited = True

    def run(self, size: int = 0) -> bool:
        """Deliver what waits, which came in ``size`` bytes; True if it is to come.

        Only the hub may call this.
        """
        self._is_awaited = False
        if self._is_running or not self._count():
            return False
        self._is_running = _QUEUED
        return self._scheduler.run(self, size)

    def run_now(self) -> None:
        """Deliver what waits, at once. Only the hub may call this."""
        self.run()
        self._scheduler.run_jobs()

    def rest(self) -> None:
        """Let what the handlers have sent so far leave: one of them blocks."""
        self._owner.rests()

    def drain(self) -> None:
        """Deliver all that waits, in the calling worker."""
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
            # Exceptions stop in _deliver. This is a GreenletExit, a SystemExit or the
            # like, and ends this greenlet. Another will deliver the rest.
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
        """Deliver what waits after all: an exception came before the worker could."""
        if self._is_running == _QUEUED:
            self._scheduler.cancel(self)
            self._is_running = _IDLE
        self._is_awaited = False
        self._awaken()
        # What the handlers have sent may wait for ``rests``, which was not called.
        self._scheduler.run_callback(self.rest)

    def _leave(self, waiting: Waiting) -> None:
        """Count an event that leaves a queue that was full."""
        if not isinstance(waiting, Event):
            self.room += interpreter.get_size(waiting)
        self._owner.relieved()

    def _turn(self) -> bool:
        """Make those that wait ready; False when none wait."""
        if self._events is None:
            return False
        self._ready, self._events = self._events, None
        self._ready.reverse()
        return True

    def _awaken(self) -> None:
        """Arrange for ``run`` to be called on the hub, unless that is not needed."""
        if not self._is_running and not self._is_awaited and self._count():
            self._is_awaited = True
            self._scheduler.run_callback(self.run)

    def _deliver(self, event: Event) -> None:
        """Run one event's handlers."""
        try:
            # ``push_message`` keeps the messages without a handler.
            if isinstance(event, MessageEvent):
                self.target.dispatch_event(event)
            elif isinstance(event, Callback):
                self.target._call(event.run)
            elif event.type in _KEPT and not self._handled & _KEPT[event.type]:
                self._keep(event)
            else:
                self.target.dispatch_event(event)
        except BaseException as error:
            self.handler_raised(event, error)

    def _keep(self, event: Event) -> None:
        """Keep an event for the first handler of its type."""
        self._kept = [*(self._kept or ()), event]

    def handler_raised(self, event: Event, error: BaseException) -> None:
        """Contain a handler's fault: log it, close, and deliver an error event.

        What ends the greenlet or the process, such as GreenletExit, is raised again.
        """
        if isinstance(error, NOT_CONTAINED):
            raise error
        log_fault(self.target, f'{event.type} handler', error)
        self._owner.failed()
        # What onerror itself raises would come back to it.
        if event.type != 'error':
            self._deliver(ErrorEvent(f'{event.type} handler raised {error!r}', error))
