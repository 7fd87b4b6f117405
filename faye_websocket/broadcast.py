"""Broadcast: one message to many sockets."""

from __future__ import annotations

from collections.abc import Iterable

from .api import API, to_data
from .driver.base import SharedMessage
from .driver.sendable import Number, Sendable
from .eventsource.source import EventSource, to_event

__all__ = ['broadcast']


def broadcast(
    sockets: Iterable[API | EventSource],
    message: Sendable,
    *,
    event: str | Number | None = None,
    id: str | Number | None = None,
) -> int:
    """Send a message to each of the sockets, and return the number that accepted it.

    The message is one that ``send`` accepts; TypeError is raised for any other. It is
    framed once for all sockets of a server. It is compressed once for those that have
    equal parameters and no context takeover. Event sources get it as an event with this
    type ``event`` and this ``id``, serialized once; if there are any, TypeError is
    raised for bytes. A socket that is closed, or closes in the meantime, is not
    counted, and raises nothing. With ``overflow='block'``, a slow peer delays the
    sockets after it.
    """
    shared = SharedMessage(to_data(message))
    # With ``overflow='block'`` another greenlet may run meanwhile, and change the
    # collection.
    targets = tuple(sockets)
    if not any(isinstance(socket, EventSource) for socket in targets):
        return sum([socket._connection.send_shared(shared) for socket in targets])  # type: ignore[union-attr]
    shared_event = SharedMessage(to_event(shared.data, event, id))
    return sum(
        [
            socket._carrier.send_shared(shared_event)
            if isinstance(socket, EventSource)
            else socket._connection.send_shared(shared)
            for socket in targets
        ]
    )
