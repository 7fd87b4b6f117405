"""EventSource: the server's end of an event stream (WHATWG HTML section 9.2).

It is made from the ``environ`` of a WSGI request. Where the server's socket can be had,
the stream leaves the server as a WebSocket does, and a ``SocketCarrier`` carries it: an
idle one costs little, and a client that is gone is noticed at once. Elsewhere a
``ResponseCarrier`` is the iterable of the response.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Any, Protocol

from ..driver import base
from ..driver.base import SharedMessage
from ..driver.codes import CloseCode
from ..driver.eventstream import (
    find_last_event_id,
    is_eventsource,
    serialize_event,
    serialize_retry,
)
from ..driver.sendable import Number
from ..events import DeclaredHandlers, Event, EventTarget
from ..http.environ import check_environ
from ..http.head import Headers
from ..http.url import determine_url
from ..io.context import in_context
from ..io.journal import EVENTSOURCE, describe_request
from ..io.limits import bound_time, check_number, make_limits
from ..io.watched import watched, watched_class
from ..servers.hijack import find_adapter
from .headers import response_headers
from .response_carrier import ResponseCarrier
from .socket_carrier import SocketCarrier
from .watched_response import watched_response

StartResponse = Callable[..., Any]


class Carrier(Protocol):
    """A connection that carries the events to the client."""

    @property
    def ready_state(self) -> int:
        """CONNECTING, OPEN, CLOSING or CLOSED."""

    @property
    def buffered_amount(self) -> int:
        """Bytes that wait."""

    def send(self, data: bytes) -> bool:
        """Send an event."""

    def send_shared(self, message: SharedMessage) -> bool:
        """Send an event that goes to many."""

    def offer(self, message: SharedMessage) -> bool | None:
        """Send a shared event, unless that would block."""

    def wait_until_caught_up(self) -> bool:
        """Block until little waits."""

    def ping(self, message: str | bytes, callback: None) -> bool:
        """Send a comment."""

    def close(self, code: int, reason: str) -> None:
        """Begin to close."""

    def handler_added(self, type: str) -> None:
        """Deliver the events of this type that were kept for a handler."""

    def handler_raised(self, event: Event, error: BaseException) -> None:
        """Contain the fault of a handler."""

    def respond(self) -> Iterable[bytes]:
        """Return the body of the response."""


class EventSource(DeclaredHandlers, EventTarget):
    """A stream of events in a WSGI application.

    ``environ`` is the request's. The event source is itself a WSGI application: return
    ``es(environ, start_response)``, and the stream begins; events that were sent before
    go out then.

    - ``headers``: further response headers, a mapping or a list of pairs.
    - ``retry``: seconds that the client waits, after it has lost the connection, until
      it connects again.
    - ``ping``: seconds between pings, which keep proxies from closing an idle
      connection; ``None`` for none.
    - ``max_buffered``: bytes that may wait unsent for the client.
    - ``overflow``: the behaviour of ``send`` beyond that: ``'close'``, ``'drop'``
      (returns False) or ``'block'`` (waits).
    - ``context``: a contextvars.Context, such as ``contextvars.copy_context()``, in
      copies of which the handlers run; ``None`` for none.

    ``onopen`` and ``onclose``, which fires once, get their events as a WebSocket's do.
    A close event's ``code`` is 1000 after ``close()``, 1001 when the server stops or
    the process exits, 1006 when the client is gone, 1011 after a handler's fault, 1013
    when ``overflow`` closes; ``reason`` says more. An invalid option raises TypeError
    or ValueError; the text names the option.
    """

    __slots__ = ('__weakref__', '_carrier', '_headers', 'last_event_id', 'url')

    CONNECTING = base.CONNECTING
    OPEN = base.OPEN
    CLOSING = base.CLOSING
    CLOSED = base.CLOSED

    is_eventsource = staticmethod(is_eventsource)
    _own_logger = EVENTSOURCE

    # ``metrics`` has others.
    _socket_carrier_class: type[SocketCarrier] = SocketCarrier
    _response_carrier_class: type[ResponseCarrier] = ResponseCarrier

    def __init__(
        self,
        environ: dict[str, Any],
        *,
        headers: Headers = None,
        retry: float = 5,
        ping: float | None = None,
        max_buffered: float = 2**24,
        overflow: str = 'close',
        context: Context | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(environ, dict):
            check_environ(environ)
        check_number('retry', retry)
        # A client cannot answer a ping.
        limits = make_limits(
            ping=ping, ping_timeout=math.inf, max_buffered=max_buffered, overflow=overflow
        )
        preamble = serialize_retry(bound_time(retry))
        self._headers = response_headers(headers)
        self.url = determine_url(environ, ('http', 'https'))
        self.last_event_id = find_last_event_id(environ)
        target = in_context(self, context)
        take = find_adapter(environ)
        kind: Any = self._response_carrier_class
        watch = watched_response
        others: tuple[Any, ...] = ()
        if take is not None:
            kind, watch, others = self._socket_carrier_class, watched_class, (environ, take)
        connect = watched(kind, EVENTSOURCE, describe_request, environ, watch)
        self._carrier: Carrier = connect(target, limits, preamble, *others)

    @property
    def ready_state(self) -> int:
        """CONNECTING (0), OPEN (1), CLOSING (2) or CLOSED (3)."""
        return self._carrier.ready_state

    @property
    def buffered_amount(self) -> int:
        """Bytes sent, but not yet handed to the kernel or to the server."""
        return self._carrier.buffered_amount

    def send(
        self, data: str | Number, event: str | Number | None = None, id: str | Number | None = None
    ) -> bool:
        """Send an event with this ``data``, of the type ``event`` and with this ``id``.

        The type is ``message`` if there is none. Each argument is a ``str`` or a
        number; otherwise TypeError is raised. An ``event`` or ``id`` with CR, LF or NUL
        raises ValueError. Returns True if the event was sent or queued; False once
        closing, and when ``overflow='drop'`` drops it. Never blocks, unless
        ``overflow='block'``. Safe in any greenlet and OS thread.
        """
        return self._carrier.send(to_event(data, event, id))

    def ping(self) -> bool:
        """Send a comment, which the client ignores.

        Returns True if it was sent or queued; False once closing.
        """
        return self._carrier.ping('', None)

    def close(self) -> None:
        """End the stream after all that was sent. Does nothing when called again.

        The client connects again, unless an event told its script not to, or the next
        request is answered with status 204.
        """
        self._carrier.close(CloseCode.NORMAL_CLOSURE, '')

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Return the response: the event source is a WSGI application."""
        return self.wsgi_response(start_response)

    def wsgi_response(self, start_response: StartResponse) -> Iterable[bytes]:
        """Begin the stream, and return the WSGI response."""
        body = self._carrier.respond()
        start_response('200 OK', list(self._headers))
        return body

    #: Ruby's name of ``wsgi_response``.
    rack_response = wsgi_response

    def _handler_added(self, type: str) -> None:
        self._carrier.handler_added(type)

    def _handler_raised(self, event: Event, error: BaseException) -> None:
        self._carrier.handler_raised(event, error)

    def __repr__(self) -> str:
        state = ('CONNECTING', 'OPEN', 'CLOSING', 'CLOSED')[self.ready_state]
        return f'<EventSource {state} {self.url}>'


def to_event(data: Any, event: str | Number | None = None, id: str | Number | None = None) -> bytes:
    """Return an event as it is sent. Raises as ``EventSource.send`` does."""
    return serialize_event(
        _to_text('data', data),
        None if event is None else _to_text('event', event),
        None if id is None else _to_text('id', id),
    )


def _to_text(name: str, value: Any) -> str:
    """Return a string, or the text of a number. Raises TypeError."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f'{name}: expected a str or a number, got {value!r:.80}')
