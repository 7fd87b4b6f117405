"""Backend: what the channels of one process ask of memory or of Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from .message import Chunk, Entry

if TYPE_CHECKING:
    from .room import Desk

__all__ = ['Backend']


class Backend(Protocol):
    """The keeper of the messages, and brings them to desks. Channels and names were
    checked.
    """

    def publish(self, channel: str, entry: Entry, key: str | None, timeout: float) -> str:
        """Keep a message, whose id is yet to be made, and return its id."""

    def attach(
        self, channel: str, desk: Desk, begin: Callable[[str], object], timeout: float
    ) -> None:
        """Deliver the messages of a channel at a desk, from the id on that ``begin`` is
        called with.
        """

    def detach(self, channel: str, desk: Desk) -> None:
        """Deliver them no more; never blocks."""

    def read(self, channel: str, mode: str, value: str | int, timeout: float) -> Chunk:
        """Return a part of what is kept.

        It is what is ``'after'`` an id, of the so many most ``'recent'`` messages, or
        of ``'all'``, for whoever has lost his place.
        """

    def enter(self, channel: str, name: str, timeout: float) -> None:
        """Add a member of this process."""

    def leave(self, channel: str, name: str) -> None:
        """Take a member of this process off, soon; never blocks."""

    def members(self, channel: str, timeout: float) -> list[str]:
        """Return the members of all processes."""

    def close(self) -> None:
        """Let go of everything."""

    def abandon(self) -> None:
        """Leave everything to the parent of this process."""
