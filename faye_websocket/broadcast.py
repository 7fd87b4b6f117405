"""broadcast: one message to many sockets."""

from __future__ import annotations

from collections.abc import Iterable

from .api import API, to_data
from .driver.base import SharedMessage
from .driver.sendable import Sendable

__all__ = ['broadcast']


def broadcast(sockets: Iterable[API], message: Sendable) -> int:
    """Sends a message to each of these sockets, as ``send`` does, and answers how many took it.

    It is framed once for all of a server's sockets, and compressed once for those that agreed on no context takeover and are
    otherwise alike. A socket that is closed, or closes meanwhile, does not count. TypeError for what is no message. With
    ``overflow='block'`` a slow peer is waited for before the next one has its turn.
    """
    shared = SharedMessage(to_data(message))
    # Another greenlet, which ``overflow='block'`` lets run, may change what the application has handed in.
    return sum([socket._connection.send_shared(shared) for socket in tuple(sockets)])
