"""The parts inside a socket, for the tests that look at one.

No test reaches for a private part itself: when one is renamed or moves, this is the one
place in the tests that changes. A test that can see the effect from outside, on the
wire or by an event, looks there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def connection_of(ws: Any) -> Any:
    """Return the ``Connection`` of a WebSocket or a Client."""
    return ws._connection


def driver_of(ws: Any) -> Any:
    """Return the driver, which knows the protocol."""
    return ws._connection._driver


def stream_of(ws: Any) -> Any:
    """Return the ``Stream``, which reads and writes the socket."""
    return ws._connection._stream


def dispatcher_of(ws: Any) -> Any:
    """Return the ``Dispatcher``, which runs the handlers."""
    return ws._connection._dispatcher


def messages_waiting(ws: Any) -> Iterator[str | bytes]:
    """Yield the messages that no handler has had yet."""
    dispatcher = ws._connection._dispatcher
    for events in (dispatcher._ready, dispatcher._events, dispatcher._messages):
        yield from (each for each in events or () if isinstance(each, (str, bytes)))


def connecting_of(client: Any) -> Any:
    """Return the greenlet in which a Client connects."""
    return client._connecting


def carrier_of(es: Any) -> Any:
    """Return what carries an EventSource: a connection, or the response itself."""
    return es._carrier


def waiters_of(es: Any) -> Any:
    """Return the greenlets that wait for an EventSource that is a response."""
    return es._carrier._waiters


def zlib_objects_of(session: Any) -> tuple[Any, Any]:
    """Return the deflater and the inflater of a session of permessage-deflate."""
    return session._deflater, session._inflater


def request_of(client: Any) -> bytes:
    """Return the bytes of a raw client's handshake, which it has not sent."""
    return bytes(client._request)
