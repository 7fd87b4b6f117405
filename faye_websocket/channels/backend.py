"""Backend: the interface between the channels of one process and memory or Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from .message import Chunk, Entry

if TYPE_CHECKING:
    from .room import Desk

__all__ = ['Backend']


class Backend(Protocol):
    """The store of the messages, which delivers them to desks.

    The caller has checked the names of channels and members.
    """

    def publish(self, channel: str, entry: Entry, key: str | None, timeout: float) -> str:
        """Store a message, assign its id, and return the id."""

    def attach(
        self, channel: str, desk: Desk, begin: Callable[[str], object], timeout: float
    ) -> None:
        """Deliver the messages of a channel to a desk.

        Call ``begin`` with the id after which the deliveries begin.
        """

    def detach(self, channel: str, desk: Desk) -> None:
        """Stop delivering the messages of a channel to a desk, without blocking."""

    def read(self, channel: str, mode: str, value: str | int, timeout: float) -> Chunk:
        """Return a part of the stored history.

        ``mode`` is ``'recent'`` for the ``value`` most recent messages, ``'after'`` for
        the messages after the id ``value``, or ``'all'`` for a client whose last id is
        unknown. ``'on'`` is ``'after'`` without a repetition: where the id is lost, the
        part begins with the first message that has a higher one.
        """

    def enter(self, channel: str, name: str, timeout: float) -> None:
        """Add a member that belongs to this process."""

    def leave(self, channel: str, name: str) -> None:
        """Remove a member of this process soon, without blocking."""

    def members(self, channel: str, timeout: float) -> list[str]:
        """Return the members of all processes."""

    def close(self) -> None:
        """Release all resources."""

    def abandon(self) -> None:
        """Leave all resources to the parent of this process."""
