"""Handover: how the response to an accepted handshake gets out.

1. ``Handover(environ, ...)`` takes the connection out of the server's hands, and
   leaves a stub in its place.
2. ``respond`` gives the server a response, a 101 without a body. Middleware may add to
   it, or put another one in its place. What the server then writes goes to the stub,
   and the head of it comes to ``_written``.
3. If it is a 101, or the server builds no head, ``accepted`` is called: the driver
   writes the real 101, with the headers that were added to the server's. If it is
   another response, such as that of a refused handshake, ``replaced`` is called, and
   this response goes to the client.

In greenlet style ``accept`` goes to step 3 at once, while the application still runs.
Step 2 follows when the application returns; another response than 101 comes too late
then, and ``view_failed`` is called with its head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from ..http.head import HeaderList, parse_fields
from ..io.takeover import Sink
from ..io.transport import Transport
from .hijack import ADAPTERS, hijack
from .threaded import holds_thread

__all__ = ['Handover', 'refuse', 'respond_late']

StartResponse = Callable[..., Any]

_STATUS = '101 Switching Protocols'
# Werkzeug's server without threads speaks HTTP/1.0, whatever its client speaks.
_ACCEPTANCE = (b'HTTP/1.1 101 ', b'HTTP/1.0 101 ')
# Headers of a response that are not for the 101: those of the hop (RFC 9110 section
# 7.6.1), those of the server, and those that describe a body.
_NOT_SENT = frozenset(
    {
        'accept-ranges',
        'age',
        'connection',
        'content-digest',
        'content-disposition',
        'content-encoding',
        'content-language',
        'content-length',
        'content-location',
        'content-md5',
        'content-range',
        'content-type',
        'date',
        'digest',
        'etag',
        'keep-alive',
        'last-modified',
        'proxy-connection',
        'repr-digest',
        'server',
        'te',
        'trailer',
        'transfer-encoding',
        'upgrade',
    }
)
# The driver writes those of the handshake.
_HANDSHAKE = 'sec-websocket-'
# For whoever checks the response on its way: wsgiref.validate insists on a type, and
# Werkzeug's LintMiddleware on a length. The head that goes out is the driver's.
_UNSENT_HEADERS = (('Content-Type', 'text/plain'), ('Content-Length', '0'))


class Handover:
    """A connection on its way from the server to a socket.

    - ``accepted(transport, received, headers)`` opens the connection; ``headers`` were
      added to the response on its way.
    - ``replaced(transport, head)`` sends another response, and returns what is called
      with the rest of it, or None.
    - ``view_failed(head)`` ends the connection: the application has raised, or returned
      something else, after the handshake.
    """

    __slots__ = (
        '_accepted',
        '_is_early',
        '_replaced',
        '_taken',
        '_view_failed',
        'holds_thread',
    )

    def __init__(
        self,
        environ: Mapping[str, Any],
        *,
        accepted: Callable[[Transport, bytes, HeaderList], object],
        replaced: Callable[[Transport, bytes], Sink | None],
        view_failed: Callable[[bytes], object],
    ) -> None:
        """Take the connection. Raises as ``hijack`` does."""
        self._accepted = accepted
        self._replaced = replaced
        self._view_failed = view_failed
        # Whether the handshake was made before the application returned.
        self._is_early = False
        self._taken: tuple[Transport, bytes] | None = hijack(environ, self._written)
        #: Whether the request lasts as long as its connection.
        self.holds_thread = holds_thread(self._taken[0])

    def accept(self) -> None:
        """Make the handshake now, while the application still runs."""
        self._is_early = True
        self._finish([])

    def respond(self, start_response: StartResponse) -> Iterable[bytes]:
        """Return the response for the server: a line in its log, and no body."""
        responder: Any = getattr(start_response, '__self__', None)
        kind: Any = type(responder)
        # The thread serves the connection while the server writes the head.
        if self.holds_thread or not _may_skip_head(kind):
            return respond_late(start_response)
        start_response(_STATUS, [])
        return _NoBody(responder, self._finish)

    def _finish(self, headers: HeaderList) -> None:
        """Open the connection, unless that was done."""
        taken, self._taken = self._taken, None
        if taken is not None:
            self._accepted(*taken, headers)

    def _written(self, head: bytes) -> Sink | None:
        """Look at the head that the server wrote; empty if it closes without one."""
        is_acceptance = head.startswith(_ACCEPTANCE)
        if self._is_early:
            self._is_early = False
            if not is_acceptance:
                self._view_failed(head)
        elif is_acceptance:
            self._finish(_added_headers(head))
        elif self._taken is not None:
            (transport, _), self._taken = self._taken, None
            return self._replaced(transport, head)
        return None


class _NoBody:
    """An empty response body.

    Iterating over it tells the server that the head has been sent, so that it does not
    build one that nobody would read, which takes a twelfth of a handshake's time. Until
    then a middleware may still put another response in its place.
    """

    __slots__ = ('_finish', '_responder')

    def __init__(self, responder: Any, finish: Callable[[HeaderList], object]) -> None:
        self._responder = responder
        self._finish = finish

    def __iter__(self) -> Iterator[bytes]:
        self._finish([])
        # With the latter gevent.pywsgi looks for no other request; gunicorn does not
        # know it.
        self._responder.headers_sent = self._responder.close_connection = True
        return iter(())


def _added_headers(head: bytes) -> HeaderList:
    """Return the headers of the server's 101 that go out with the driver's."""
    return [
        (name, value)
        for name, value in parse_fields(head)
        if name.lower() not in _NOT_SENT and not name.lower().startswith(_HANDSHAKE)
    ]


def respond_late(start_response: StartResponse) -> Iterable[bytes]:
    """Return the response for the server where the handshake was made before."""
    start_response(_STATUS, list(_UNSENT_HEADERS))
    return []


@lru_cache(maxsize=8)
def _may_skip_head(kind: Any) -> bool:
    """Return whether a server, and no middleware, has start_response in this class."""
    name = f'{kind.__module__}.{kind.__qualname__}'
    return any(name in adapter.responders for adapter in ADAPTERS.values())


def refuse(
    environ: Mapping[str, Any],
    start_response: StartResponse,
    status: str,
    headers: HeaderList,
    body: bytes,
) -> Iterable[bytes]:
    """Return the response of a refused handshake."""
    for adapter in tuple(ADAPTERS.values()):
        if adapter.owns_connection_header and adapter.owns_connection_header(environ):
            headers = [pair for pair in headers if pair[0] != 'Connection']
    start_response(status, headers)
    return [body]
