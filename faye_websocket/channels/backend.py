"""Backend: the interface of the channels of one process to memory or to Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from .message import Chunk, Entry

if TYPE_CHECKING:
    from .room import Desk

__all__ = ['Backend']


class Backend(Protocol):
    """A store of messages that delivers them to desks.

    The names of channels and members have been checked.
    """

    def publish(
        self, channel: str, entry: Entry, key: str | None, timeout: float
    ) -> str:
        """Store a message, which has no id yet, and return its id."""

    def attach(
        self, channel: str, desk: Desk, begin: Callable[[str], object], timeout: float
    ) -> None:
        """Deliver the messages of a channel to a desk.

        ``begin`` is called with the id after which they begin.
        """

    def detach(self, channel: str, desk: Desk) -> None:
        """End the delivery to a desk. Never block."""

    def read(self, channel: str, mode: str, value: str | int, timeout: float) -> Chunk:
        """Return a part of the history.

        It has the messages ``'after'`` an id, the ``'recent'`` ones of this number, or
        ``'all'`` of them, for a client whose id is not known.
        """

    def enter(self, channel: str, name: str, timeout: float) -> None:
        """Add a member of this process."""

    def leave(self, channel: str, name: str) -> None:
        """Remove a member of this process, soon. Never block."""

    def members(self, channel: str, timeout: float) -> list[str]:
        """Return the members of all processes."""

    def close(self) -> None:
        """Release everything."""

    def abandon(self) -> None:
        """Leave everything to the parent of this process, after a fork."""
