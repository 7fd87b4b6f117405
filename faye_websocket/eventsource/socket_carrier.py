"""SocketCarrier: an event stream on a socket that has left its server.

An idle stream costs little, and a client that is gone is noticed at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..driver.base import CLOSED
from ..driver.eventstream import EventStream
from ..http.head import parse_fields
from ..io.connection import Connection, Target
from ..io.limits import Limits
from ..io.reactor import current_reactor
from ..io.takeover import Sink
from ..io.transport import Transport
from ..servers.adapter import TakeFound
from ..servers.gevent_server import register
from ..servers.hijack import hijack
from .headers import FRAMING, is_event_stream

__all__ = ['SocketCarrier']

_OK = re.compile(rb'HTTP/1\.[01] 200\b')


class SocketCarrier(Connection):
    """Takes the socket when the response begins."""

    __slots__ = ('_request',)

    def __init__(
        self,
        target: Target,
        limits: Limits,
        preamble: bytes,
        environ: Mapping[str, Any],
        take: TakeFound,
    ) -> None:
        super().__init__(target, limits, current_reactor())
        self._request: tuple[Mapping[str, Any], TakeFound] | None = (environ, take)
        self.drive(EventStream(preamble))

    def respond(self) -> Iterable[bytes]:
        """Take the socket, unless that was done, and return an empty body.

        What the server writes then comes to ``_responded``.
        """
        request, self._request = self._request, None
        if request is not None:
            environ, take = request
            transport, _ = hijack(environ, lambda head: self._responded(transport, head), take)
        return []

    def _responded(self, transport: Transport, head: bytes) -> Sink | None:
        """Send the head that the server wrote, with the headers that were added."""
        headers = parse_fields(head)
        if not (_OK.match(head) and any(map(is_event_stream, headers))):
            # Something around the application gives another response.
            return self.relay(transport, head)
        if self.ready_state == CLOSED:
            # More was sent than may wait for the response.
            self._drop(transport)
            return None
        is_late = register(self)
        # RFC 9112 section 6.3: without a length the body ends with the connection. A
        # proxy converts it for its client.
        kept = [header for header in headers if header[0].lower() not in FRAMING]
        self.accept(transport, b'', [*kept, ('Connection', 'close')])
        if is_late:
            self.stop()
        return None
