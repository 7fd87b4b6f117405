"""Overflow: the option that says what is done with a message that has no room.

Up to ``max_buffered`` bytes may wait for one peer. While no more than ``low_water``
bytes wait, a message is taken whatever its length. For any other message the option
decides:

- ``'close'`` closes the connection with 1013 (try again later);
- ``'drop'`` refuses the message;
- ``'block'`` makes the caller wait until there is room or the connection closes. A
  caller on which the making of room depends is refused instead.

An ``Overflow`` also counts the bytes that wait in front of a connection's stream: those
sent before the handshake is over, and those that another OS thread has posted to the
hub. An idle connection has none of these objects. It never touches the socket, and it
takes no lock: its owner does so where threads may meet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from greenlet import getcurrent

from ..driver.base import OPEN

if TYPE_CHECKING:
    from .limits import Limits

__all__ = ['POLICIES', 'Overflow', 'Sending']


class Sending(Protocol):
    """A connection that sends, to whose peer too much may be sent."""

    @property
    def ready_state(self) -> int:
        """CONNECTING, OPEN, CLOSING or CLOSED."""

    @property
    def buffered_amount(self) -> int:
        """All bytes that wait, those that an ``Overflow`` counts among them."""

    def give_up_slow_peer(self) -> None:
        """Close the connection with 1013."""

    def message_dropped(self) -> None:
        """Note that a message was dropped."""

    def wait_for_room(self, size: int) -> bool:
        """Block the caller until there may be room; False where it must not block."""


class Overflow:
    """The bytes in front of one connection's stream, and the rule for more of them.

    ``early`` bytes were sent before the handshake was over, and ``posted`` bytes by
    other OS threads. ``room_maker`` is the greenlet that the handshake depends on, or
    that reads what is sent: while it waited for room, none would be made.
    """

    __slots__ = ('_limits', '_sender', 'early', 'posted', 'room_maker')

    def __init__(self, sender: Sending, limits: Limits, room_maker: Any = None) -> None:
        self._sender = sender
        self._limits = limits
        self.room_maker = room_maker
        self.early = 0
        self.posted = 0

    @property
    def is_needed(self) -> bool:
        """True while it holds anything that would be lost with it."""
        return self.room_maker is not None or bool(self.early or self.posted)

    def has_room(self, size: int) -> bool:
        """Return whether a message of this size may wait."""
        waiting, limits = self._sender.buffered_amount, self._limits
        return waiting <= limits.low_water or waiting + size <= limits.max_buffered

    def would_block(self, size: int) -> bool:
        """Return whether sending a message of this size may make its sender wait."""
        return self._limits.overflow == 'block' and not self.has_room(size)

    def make_room(self, size: int) -> bool:
        """Return whether a message of this size may wait, once the option has acted."""
        return self.has_room(size) or POLICIES[self._limits.overflow](self, size)

    def _close(self, size: int) -> bool:
        self._sender.give_up_slow_peer()
        return False

    def _drop(self, size: int) -> bool:
        self._sender.message_dropped()
        return False

    def _block(self, size: int) -> bool:
        sender = self._sender
        if getcurrent() is self.room_maker:
            return False
        while sender.ready_state <= OPEN and not self.has_room(size):
            if not sender.wait_for_room(size):
                return False
        return sender.ready_state <= OPEN


#: What to do about a message that has no room, by the value of the option.
POLICIES: dict[str, Callable[[Overflow, int], bool]] = {
    'close': Overflow._close,
    'drop': Overflow._drop,
    'block': Overflow._block,
}
