"""The headers of an event stream's response."""

from __future__ import annotations

from ..http.head import HeaderList, Headers, check_headers

__all__ = ['FRAMING', 'is_event_stream', 'response_headers']

_CONTENT_TYPE = ('Content-Type', 'text/event-stream')
# Nothing on the way to the client may hold events back: no cache, no compression, and
# not nginx's buffer either.
_DEFAULT_HEADERS = (
    ('Cache-Control', 'no-cache, no-transform'),
    ('X-Accel-Buffering', 'no'),
)
# Django's GZipMiddleware would hold back every event, and looks at this header only. A
# head that we write goes without it.
_UNCOMPRESSED = ('Content-Encoding', 'identity')

# Headers that must be absent from a response whose body ends with the connection.
FRAMING = frozenset({'connection', 'content-encoding', 'content-length', 'transfer-encoding'})


def is_event_stream(header: tuple[str, str]) -> bool:
    """Return whether this header says that the body is an event stream."""
    name, value = header
    return (
        name.lower() == 'content-type'
        and value.partition(';')[0].strip().lower() == 'text/event-stream'
    )


def response_headers(headers: Headers) -> HeaderList:
    """Return the headers of the response.

    Raises ValueError for a header that an event source sets itself.
    """
    own = check_headers(headers)
    names = {name.lower() for name, _ in own}
    taken = names & (FRAMING | {'content-type'})
    if taken:
        raise ValueError(f'headers: an event source sets {", ".join(sorted(taken))} itself')
    defaults = [(name, value) for name, value in _DEFAULT_HEADERS if name.lower() not in names]
    return [_CONTENT_TYPE, *defaults, _UNCOMPRESSED, *own]
