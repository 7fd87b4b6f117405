"""The journal of an event stream that is the iterable of a response."""

from __future__ import annotations

from functools import cache
from typing import Any

from ..driver.base import CLOSED
from ..io.journal import PEER, Journal
from ..io.watched import NotesEnd
from .response_carrier import ResponseCarrier

__all__ = ['watched_response']


class _Watched(NotesEnd, ResponseCarrier):
    """A stream that has a journal. The slot is in its subclasses."""

    __slots__ = ()

    _has_frames = False

    def __init__(self, journal: Journal, *arguments: Any) -> None:
        self._journal = journal  # type: ignore[misc]
        super().__init__(*arguments)

    def next_piece(self) -> bytes:
        journal = self._journal
        journal.opened('eventsource')
        piece = super().next_piece()
        journal.bytes_sent += len(piece)
        if self._has_frames and piece:
            journal.piece('sent', piece)
        return piece

    def end(self) -> None:
        is_over = self.ready_state == CLOSED
        super().end()
        if not is_over:
            self._journal.end(PEER)
            self._journal.closed(self.close_event.code, self.close_event.reason, False)

    def send(self, data: bytes) -> bool:
        was_sent = super().send(data)
        if was_sent:
            self._journal.messages_sent += 1
        return was_sent


@cache
def watched_response(kind: Any, *, has_frames: bool) -> Any:
    """Return a class of streams, of this kind, that have journals."""
    attributes = {'__slots__': ('_journal',), '_has_frames': has_frames}
    return type('Watched', (_Watched, kind), attributes)
