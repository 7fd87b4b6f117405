"""Outflow: the half of a stream that writes.

Bytes that are written leave at once if they are alone. What follows within one burst is
collected and leaves in one system call. What the kernel refuses waits in a ``Backlog``
for a write watcher. The states are those that ``stream`` lists.
"""

from __future__ import annotations

import sys
from typing import Any

from ..driver.writer import Writer
from . import syscalls
from .backlog import BURST, Backlog
from .owner import Owner
from .phases import CORKED, FEEDING, LOOSE, OPEN
from .reactor import Reactor
from .transport import Transport, find_descriptor

__all__ = ['Outflow']

_WRITE = 2


class Outflow(Writer):
    """The writer of a connected socket. ``Stream`` adds the reading, and the end.

    ``buffered`` is the number of bytes not yet handed to the kernel. With ``low_water``
    bytes of them, or fewer, a peer that was behind has caught up.
    """

    __slots__ = (
        '_backlog',
        '_burst',
        '_cork',
        '_descriptor',
        '_is_behind',
        '_low_water',
        '_owner',
        '_phase',
        '_reactor',
        '_transport',
        '_writer',
        'buffered',
    )

    def __init__(
        self, transport: Transport, owner: Owner, reactor: Reactor, low_water: int
    ) -> None:
        self._transport = transport
        self._descriptor = find_descriptor(transport)
        self._owner = owner
        self._reactor = reactor
        self._low_water = low_water
        # Not an empty list: that would be 72 bytes in each idle connection.
        self._burst: list[bytes] | None = None
        self._backlog: Backlog | None = None
        self._phase = OPEN
        self._cork = LOOSE
        self._is_behind = False
        self._writer: Any = None
        self.buffered = 0

    # ---- what a driver calls

    def write(self, data: bytes) -> None:
        """Send ``data`` in its turn: now, with its burst, or from the backlog."""
        if self._phase != OPEN:
            return
        self.buffered += len(data)
        if self._backlog is not None:
            self._backlog.append(data)
            self._is_behind = self._is_behind or self.buffered > self._low_water
            return
        if self._burst is None:
            self._burst = [data]
        else:
            self._burst.append(data)
        if self._cork == LOOSE:
            self._flush()
            # What follows before the hub runs again belongs to one burst.
            self._cork = CORKED
            self._reactor.loop.run_callback(self.uncork)
        elif self.buffered >= BURST:
            self._flush()

    def write_parts(self, head: bytes, payload: bytes) -> None:
        """Do what ``write(head + payload)`` does, if possible without a copy."""
        if self._phase != OPEN or self._backlog is not None:
            self.write(head + payload)
            return
        self.buffered += len(head) + len(payload)
        burst, self._burst = self._burst, None
        self._keep(self._send(b''.join((*burst, head)) if burst else head, payload))

    def write_urgent(self, data: bytes, tag: str) -> None:
        """Send ``data`` before all that waits, in place of one with this ``tag``."""
        if self._backlog is None or self._phase != OPEN:
            self.write(data)
            return
        self.buffered += self._backlog.put_urgent(data, tag)

    def write_last(self, data: bytes) -> None:
        """Send ``data`` next, and drop all that waits."""
        if self._backlog is not None:
            self.buffered = self._backlog.drop()
        self.write_urgent(data, 'last')

    # ---- bursts

    def uncork(self) -> None:
        """Send the burst, unless the owner is still handling what was received."""
        if self._cork != FEEDING:
            self._cork = LOOSE
            self._flush()

    def _flush(self) -> None:
        """Hand the burst, if there is one, to the kernel."""
        burst, self._burst = self._burst, None
        if burst is None:
            return
        try:
            self._keep(self._send(burst[0] if len(burst) == 1 else b''.join(burst)))
        except BaseException:
            # A signal's handler raised, and it is not known how much was sent.
            self._end('interrupted')
            raise

    # ---- the kernel, and what it refuses

    def _send(self, chunk: bytes | memoryview, more: bytes = b'') -> memoryview | None:
        """Make one system call. Return what the kernel did not take, or None."""
        if self._reactor.is_inherited():
            return None
        try:
            if more:
                sent = syscalls.sendmsg(self._transport, self._descriptor, (chunk, more))
            else:
                sent = syscalls.send(self._transport, self._descriptor, chunk)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._stop_sending(str(error))
            return None
        self.buffered -= sent
        size = len(chunk)
        if sent < size:
            return memoryview(b''.join((chunk, more)) if more else chunk)[sent:]
        return memoryview(more)[sent - size :] if sent < size + len(more) else None

    def _keep(self, rest: memoryview | None) -> None:
        """Start a backlog with what the kernel has refused, if anything."""
        if rest is not None:
            self._backlog = Backlog(rest)
            self._is_behind = True
            self._writer = self._writer or self._reactor.loop.io(self._transport.fileno(), _WRITE)
            self._writer.start(_write_on, self)

    def _writable(self) -> None:
        """Send as much of the backlog as the kernel takes.

        Called while there is one.
        """
        if self._reactor.is_inherited():
            self._writer.stop()
            return
        backlog = self._backlog
        assert backlog is not None
        while (chunk := backlog.take()) is not None:
            rest = self._send(chunk)
            if rest is not None:
                backlog.give_back(rest)
                break
        else:
            self._caught_up()
        if self._is_behind and self.buffered <= self._low_water and self._phase == OPEN:
            self._is_behind = False
            self._owner.drained()

    def _caught_up(self) -> None:
        """Drop the backlog, which is empty."""
        self._backlog = None
        self._writer.stop()
        if self._phase != OPEN:
            self._half_close()

    def _stop_sending(self, reason: str) -> None:
        """Drop all that waits: the peer takes nothing any more."""
        self._burst = None
        if self._backlog is not None:
            self._backlog.drop()
        self.buffered = 0
        self._sending_failed(reason)

    # ---- what the other half does

    def _sending_failed(self, reason: str) -> None:
        """Read what the peer has sent, and end for this ``reason``."""
        raise NotImplementedError

    def _half_close(self) -> None:
        """End the writing half: everything is sent."""
        raise NotImplementedError

    def _end(self, reason: str) -> None:
        """Close the socket, and pass the ``reason`` to the owner."""
        raise NotImplementedError


def _write_on(outflow: Outflow) -> None:
    """Call ``_writable``; the write watcher's callback."""
    try:
        outflow._writable()
    except BaseException:
        # See ``_read`` of ``stream``.
        error = sys.exc_info()
        outflow._end('interrupted')
        outflow._reactor.hub.handle_error(outflow, *error)
