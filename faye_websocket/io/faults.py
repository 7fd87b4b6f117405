"""The lines that the log has of faults: at ERROR, with the traceback, and at WARNING.

They name a socket by its URL, without the query and without credentials, escaped.
"""

from __future__ import annotations

import logging
from typing import Protocol
from urllib.parse import quote

__all__ = ['PATH', 'SLOW', 'Logged', 'log_fault', 'name_url']

# What a path may consist of (RFC 3986 section 3.3); anything else is percent-encoded.
PATH = "/:@!$&'()*+,;=~"
SLOW = '%s is a slow consumer: given up with %d bytes waiting'
# Flask says "Working outside of request context", and of application context.
_OUTSIDE = 'working outside of'
_HINT = (
    '. A handler runs when the request is over: make the socket with '
    'context=contextvars.copy_context(), and it runs in the context of the view'
)


class Logged(Protocol):
    """A socket that the log names."""

    @property
    def _own_logger(self) -> logging.Logger:
        """The logger of its kind."""

    @property
    def url(self) -> str:
        """The URL."""


def name_url(url: str) -> str:
    """Return a URL without its query and its credentials, escaped."""
    scheme, _, rest = url.partition('?')[0].partition('://')
    authority, slash, path = rest.partition('/')
    host = authority.rpartition('@')[2]
    return quote(f'{scheme}://{host}{slash}{path}', safe=f'{PATH}%[]')


def log_fault(socket: Logged, what: str, error: BaseException) -> None:
    """Write the traceback of an exception that ``what`` has raised."""
    is_outside = isinstance(error, RuntimeError) and _OUTSIDE in str(error).lower()
    hint = _HINT if is_outside else ''
    socket._own_logger.error('%s of %s raised%s', what, name_url(socket.url), hint, exc_info=error)
