"""Carriers: the objects that send messages to sockets, and the hubs they run on."""

from __future__ import annotations

from typing import Any

from ..eventsource.source import Carrier
from ..io.connection import Connection
from ..io.reactor import Reactor

__all__ = ['find_carrier', 'find_reactor']


def find_carrier(socket: Any) -> Connection | Carrier:
    """Return the carrier of a socket.

    Raise TypeError for an object that is not a socket.
    """
    carrier = getattr(socket, '_carrier', None) or getattr(socket, '_connection', None)
    if carrier is None or not hasattr(socket, 'add_event_listener'):
        raise TypeError(f'socket: expected a WebSocket or an EventSource, got {socket!r:.80}')
    return carrier  # type: ignore[no-any-return]


def find_reactor(carrier: Any) -> Reactor | None:
    """Return the reactor of a carrier's hub, or None if a server pulls the events."""
    return carrier.reactor if isinstance(carrier, Connection) else None
