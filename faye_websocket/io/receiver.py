"""Receiver: the half of a connection that receives, and bounds how much waits.

Bytes come from the stream and go to the driver; the messages that it finds go to the
dispatcher, which delivers them to handlers, or keeps them for ``receive``. When as much
waits as may, reading stops, and TCP slows the peer down. Reading goes on once half of
it is done.

A peer whose messages were never asked for must not be kept waiting for the answer to
its pings and its close frame: after a few seconds reading goes on, and messages are
dropped.
"""

from __future__ import annotations

import sys
import time

import gevent

from ..driver.base import CLOSED, CONNECTING, OPEN
from ..driver.codes import CloseCode
from ..errors import ConnectionClosed
from ..events import Event
from .dispatch import Dispatcher, Target
from .faults import SLOW, name_url
from .limits import Limits, bound_time
from .reactor import Reactor
from .scheduler import wait_forever
from .sender import Sender
from .shutdown import open_sockets

__all__ = ['Receiver']

# Seconds between two looks at what still has to go out when all else is over, which is
# rare.
_LOOK_EVERY = 0.01
# How many seconds reading stops at most where no message was ever asked for, or half of
# ``close_timeout``: a peer that closes meanwhile waits no longer for the answer than we
# would.
_PATIENCE = 5.0
# How many turns of the loop may pass between two messages that a greenlet takes, which
# ``receive`` and a program's own ``gevent.sleep(0)`` let others have.
_YIELDS = 4
# Of shorter messages than this, in bytes, many come in one read.
_TINY = 4
# Stands for any number of messages that is larger, such as infinity, and fits a C int.
_MANY_MESSAGES = 2**31 - 2
_UNWANTED = '%s has neither onmessage nor receive: beyond the first %d its messages are dropped'


class Receiver(Sender):
    """The receiving half of a connection, with a greenlet's ways to wait for it."""

    __slots__ = ('_dispatcher', '_end', '_is_end_known', '_is_over', '_max_queue', '_was_open')

    def __init__(self, target: Target, limits: Limits, reactor: Reactor) -> None:
        super().__init__(limits, reactor)
        # Looked at for every message.
        self._max_queue = int(min(limits.max_queue, _MANY_MESSAGES))
        self._dispatcher = Dispatcher(target, self, reactor, self._max_queued)
        # How it ended. Its cause is the reason why it was never open, if it was not.
        self._end: ConnectionClosed | None = None
        # ``receive`` has returned None for the end.
        self._is_end_known = False
        # The close event has been delivered.
        self._is_over = False
        self._was_open = False

    @property
    def is_current(self) -> bool:
        """Whether the caller is a handler of this connection."""
        return self._dispatcher.is_current

    @property
    def has_message(self) -> bool:
        """Whether ``receive`` would return a message at once."""
        return self._dispatcher.has_message

    def handler_added(self, type: str) -> None:
        """Deliver the events of this type that were kept for the first handler."""
        self._dispatcher.handler_added(type)

    # ---- what comes

    def received(self, chunk: bytes) -> bool:
        """Parse bytes that came.

        True when the handlers of what they say will run soon.
        """
        self._dispatcher.hold()
        driver = self._driver
        try:
            driver.parse(chunk)
        except Exception:
            # Neither the peer's fault nor the application's: an extension's, or ours.
            target = self._dispatcher.target
            target._own_logger.exception('receiving from %s failed', name_url(target.url))
            driver.fail(CloseCode.INTERNAL_ERROR, 'internal error')
        return self._dispatcher.run(len(chunk))

    def message(self, data: str | bytes) -> None:
        """Deliver a message. WHATWG: one that comes after ``close`` is dropped."""
        if not self._is_closing:
            waiting = self._dispatcher.push_message(data)
            if self._waiters is not None:
                self._wake()
            if waiting > self._max_queue:
                self._fill(data)

    # ---- how much may wait

    @property
    def _max_queued(self) -> int:
        """The number of bytes that may wait.

        The option takes any number, of which infinity is one.
        """
        return int(min(self._limits.max_queued, sys.maxsize))

    def _fill(self, data: str | bytes) -> None:
        """Stop reading if as much waits as may; ``data`` came last."""
        dispatcher, stream = self._dispatcher, self._stream
        assert stream is not None
        if not dispatcher.is_full:
            dispatcher.count_room(self._max_queued)
            if len(dispatcher) <= self._max_queue and dispatcher.room >= 0:
                return
            dispatcher.is_full = True
            stream.pause()
            if not dispatcher.is_wanted:
                patience = min(_PATIENCE, self._limits.close_timeout / 2)
                stream.call_while_paused(patience, self._let_go)
        # What is left of this read may be inflated to a thousand times its size; and
        # tiny messages take twenty times theirs. Others are rather handled all at once.
        if dispatcher.room < 0 or dispatcher.is_busy or len(data) < _TINY:
            self._driver.is_paused = True

    def relieved(self) -> None:
        """Read on if enough of a full queue is done: it is one event shorter."""
        self._read_on()

    def _read_on(self) -> None:
        """Read again once half of a full queue is done."""
        dispatcher = self._dispatcher
        if (
            dispatcher.is_full
            and len(dispatcher) <= self._max_queue // 2
            and dispatcher.room >= self._max_queued // 2
        ):
            dispatcher.is_full = False
            self._reactor.run_callback(self._go_on)

    def _go_on(self) -> None:
        """Parse what is left of the last read, and read on. Called on the hub."""
        driver, stream = self._driver, self._stream
        assert stream is not None
        if self._reactor.is_inherited():
            return
        if driver.is_paused and not driver.finish_ending():
            stream.feed(b'')
        if not self._dispatcher.is_full:
            stream.resume()

    def _hold_end(self) -> None:
        """Let ``receive`` return what came before the end, so that it can be answered.

        The end waits for a greenlet as it does for handlers: until it blocks elsewhere.
        """
        dispatcher, stream = self._dispatcher, self._stream
        assert stream is not None
        # What comes behind the end is not parsed.
        self._driver.is_paused = True
        stream.pause()
        self._reactor.run_callback(self._end_after_answers, len(dispatcher), _YIELDS)

    def _end_after_answers(self, waiting: int, turns: int) -> None:
        """Come to the end once all is taken, or nothing of it in so many turns."""
        left = len(self._dispatcher)
        turns = _YIELDS if left < waiting else turns - 1
        if self._dispatcher.has_message and turns and self.ready_state == OPEN:
            self._reactor.run_callback(self._end_after_answers, left, turns)
        else:
            self._go_on()

    def _let_go(self) -> None:
        """Drop messages and read on, if none was ever asked for.

        Otherwise the peer, which gets no answer to its pings or its close, would give
        us up.
        """
        dispatcher = self._dispatcher
        if not (dispatcher.is_wanted or self._reactor.is_inherited()):
            self._warn(_UNWANTED, len(dispatcher))
            dispatcher.refuse_messages()
            dispatcher.is_full = False
            self._go_on()

    def give_up_slow_peer(self) -> None:
        """Close with 1013; in any OS thread."""
        self._warn(SLOW, self.buffered_amount)
        super().give_up_slow_peer()

    def _warn(self, message: str, number: int) -> None:
        target = self._dispatcher.target
        target._own_logger.warning(message, name_url(target.url), number)

    # ---- greenlet style

    def receive(self, timeout: float | None) -> str | bytes | None:
        """Return the next message without a handler, or ``None``, once, at the end.

        Raises TimeoutError, ConnectionClosed after the end, and the error of a client
        that never became open.
        """
        is_end_known = self._is_end_known
        if self._dispatcher.has_message or self.ready_state == CLOSED:
            # A loop around this call, whatever it does with the result, must not keep
            # other greenlets from running.
            self._let_others_run()
        deadline = None if timeout is None else time.monotonic() + bound_time(timeout)
        while True:
            message = None if self._reactor.is_inherited() else self._dispatcher.take_message()
            if message is not None:
                self._read_on()
                return message
            if self.ready_state == CLOSED:
                if self._driver.is_client:
                    self._check_was_open()
                if is_end_known:
                    # A forked child has not seen it.
                    end = self._end or ConnectionClosed(CloseCode.ABNORMAL_CLOSURE, '')
                    raise ConnectionClosed(end.code, end.reason)
                self._is_end_known = True
                return None
            # It has time to finish when the process exits.
            open_sockets.add_greenlet(gevent.getcurrent(), self)  # type: ignore[arg-type]
            if not self._wait(deadline):
                raise TimeoutError(f'no message within {timeout} seconds')

    def _let_others_run(self) -> None:
        """Give others a turn.

        The copy of a greenlet that a fork makes meanwhile ends here.
        """
        was_inherited = self._reactor.is_inherited()
        gevent.sleep(0)
        if self._reactor.is_inherited() and not was_inherited:
            wait_forever()

    def wait_open(self) -> None:
        """Return once the socket is open, or was.

        Raises the reason why it never will be.
        """
        while self._driver.ready_state == CONNECTING and not self._reactor.is_inherited():
            self._wait(None)
        self._check_was_open()

    def _check_was_open(self) -> None:
        """Raise the reason why a connection that has ended was never open."""
        if self._end is not None and self._end.__cause__ is not None:
            # It may be raised many times, and would keep the frames of all of them.
            raise self._end.__cause__.with_traceback(None)

    def wait_closed(self, timeout: float | None) -> bool:
        """Wait until the close event has been delivered; False if it was not in time.

        Raises RuntimeError in a handler of this socket: the event would wait for its
        end.
        """
        if self._dispatcher.is_current:
            raise RuntimeError(
                'wait_closed: called in a handler of the socket, which must return before '
                'it is closed'
            )
        deadline = None if timeout is None else time.monotonic() + bound_time(timeout)
        while not (self._is_over or self._reactor.is_inherited()):
            if not self._wait(deadline):
                return False
        return True

    def wait_over(self) -> None:
        """Wait for the end of a closing connection, ``close_timeout`` seconds at most.

        By then the close event has been delivered, and what was to be sent is out.
        """
        if sys.is_finalizing() or self._dispatcher.is_current:
            # Nobody would run the hub, or the event would wait for the caller.
            return
        end = time.monotonic() + self._limits.close_timeout
        if not self.wait_closed(self._limits.close_timeout):
            # By now the peer has been given up, and the event is on its way.
            self.wait_closed(0)
        while self.buffered_amount and time.monotonic() < end and not self._reactor.is_inherited():
            # The reason why a slow peer was given up is still on its way out.
            gevent.sleep(_LOOK_EVERY)

    def delivered(self, event: Event) -> None:
        """Note that the close event was delivered: all is over."""
        self._is_over = True
        open_sockets.discard(self)  # type: ignore[arg-type]
        self._wake()
