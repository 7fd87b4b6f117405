"""The choice of the protocol version for a WSGI request, from its ``environ`` alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..http.environ import check_environ
from .base import Driver, ServerIO, has_token
from .draft75 import Draft75
from .draft76 import Draft76
from .hybi import Hybi

__all__ = ['is_websocket', 'wsgi']


def is_websocket(environ: Mapping[str, Any]) -> bool:
    """Return whether a request asks for a WebSocket (RFC 6455 section 4.2.1).

    It does if it is a GET over HTTP/1.1 with the headers ``Connection: Upgrade`` and
    ``Upgrade: websocket``. Never raise for an environ, and change nothing.
    """
    if not isinstance(environ, dict):
        check_environ(environ)
    return (
        environ.get('REQUEST_METHOD') == 'GET'
        and environ.get('SERVER_PROTOCOL') == 'HTTP/1.1'
        and has_token(environ, 'HTTP_CONNECTION', 'upgrade')
        and has_token(environ, 'HTTP_UPGRADE', 'websocket')
    )


def wsgi(
    io: ServerIO,
    protocols: Iterable[str] = (),
    *,
    max_fragments: int | None = None,
    extensions: Iterable[Any] = (),
    **options: Any,
) -> Driver:
    """Return the driver for the request in ``io.environ``.

    See ``Driver`` for the ``io`` that it needs, and for its methods and events.
    Protocol versions without fragments or extensions ignore ``max_fragments`` and
    ``extensions``.
    """
    environ = io.environ
    if 'HTTP_SEC_WEBSOCKET_VERSION' in environ or 'HTTP_SEC_WEBSOCKET_KEY' in environ:
        if max_fragments is not None:
            options['max_fragments'] = max_fragments
        return Hybi(io, protocols, extensions=extensions, **options)
    if 'HTTP_SEC_WEBSOCKET_KEY1' in environ or 'HTTP_SEC_WEBSOCKET_KEY2' in environ:
        return Draft76(io, protocols, **options)
    return Draft75(io, protocols, **options)
