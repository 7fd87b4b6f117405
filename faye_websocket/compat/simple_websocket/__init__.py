"""simple-websocket's names, as ``faye_websocket.compat.simple_websocket``.

Other than in the original:

- A message may have 1 GiB at most where ``max_message_size`` says nothing.
- ``send`` waits for a slow peer, where the original loses data.
- There is no background thread: ``receive_bytes``, ``thread_class``, ``event_class``
  and ``selector_class`` are taken and mean nothing, and there is no ``input_buffer``,
  ``event`` or ``thread``. ``sock`` of a ``Server`` has ``getpeername`` and nothing
  else, and a ``Client`` has none. ``websocket`` is the ``faye_websocket`` socket behind
  a ``Server`` or a ``Client``.
- A connection that was lost has the reason 1005, as in the original, and one that this
  end has given up that end's own code, such as 1009.
- There are no ``AioServer`` and ``AioClient``: asyncio has no WSGI.
"""

from __future__ import annotations

from .errors import ConnectionClosed, ConnectionError
from .ws import Client, Server

__all__ = ['Client', 'ConnectionClosed', 'ConnectionError', 'Server']
