"""Carriers: what brings messages to a socket, and the hub on which it does."""

from __future__ import annotations

from typing import Any

from ..eventsource.source import Carrier
from ..io.connection import Connection
from ..io.reactor import Reactor

__all__ = ['find_carrier', 'find_reactor']


def find_carrier(socket: Any) -> Connection | Carrier:
    """Return the carrier of a socket's messages. Raises TypeError for no socket."""
    carrier = getattr(socket, '_carrier', None) or getattr(socket, '_connection', None)
    if carrier is None or not hasattr(socket, 'add_event_listener'):
        raise TypeError(f'socket: expected a WebSocket or an EventSource, got {socket!r:.80}')
    return carrier  # type: ignore[no-any-return]


def find_reactor(carrier: Any) -> Reactor | None:
    """Return the reactor of a socket's hub; None where a server pulls the events."""
    return carrier.reactor if isinstance(carrier, Connection) else None
