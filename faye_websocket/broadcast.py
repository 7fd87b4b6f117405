"""Broadcast: one message to many sockets."""

from __future__ import annotations

from collections.abc import Iterable

from .api import API, to_data
from .driver.base import SharedMessage
from .driver.sendable import Sendable

__all__ = ['broadcast']


def broadcast(sockets: Iterable[API], message: Sendable) -> int:
    """Send a message to each of the sockets, and return the number that accepted it.

    The message is one that ``send`` accepts; TypeError is raised for any other. It is
    framed once for all sockets of a server. It is compressed once for those that have
    equal parameters and no context takeover. A socket that is closed, or closes in the
    meantime, is not counted, and raises nothing. With ``overflow='block'``, a slow peer
    delays the sockets after it.
    """
    shared = SharedMessage(to_data(message))
    # With ``overflow='block'`` another greenlet may run meanwhile, and change the
    # collection.
    return sum([socket._connection.send_shared(shared) for socket in tuple(sockets)])
