"""The URL of a WebSocket request, as the client sees it, from its ``environ``. Pure, and never raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

__all__ = ['determine_url', 'is_secure']

# What reverse proxies say of the client's side of the connection; the names that Rack, and so Ruby's faye, looks at.
_SECURE = {
    'wsgi.url_scheme': 'https',
    'HTTPS': 'on',
    'HTTP_X_FORWARDED_SSL': 'on',
    'HTTP_X_FORWARDED_SCHEME': 'https',
    'HTTP_X_FORWARDED_PROTO': 'https',
}


def is_secure(environ: Mapping[str, Any]) -> bool:
    """Whether the client reached the server, or the proxy in front of it, through TLS."""
    return any(environ.get(name) == value for name, value in _SECURE.items())


def determine_url(environ: Mapping[str, Any], schemes: tuple[str, str] = ('ws', 'wss')) -> str:
    """The URL of the request, with the first of ``schemes``, or the second if it is secure."""
    host = environ.get('HTTP_HOST') or f'{environ.get("SERVER_NAME", "")}:{environ.get("SERVER_PORT", "")}'
    path = _quoted(environ.get('SCRIPT_NAME', '')) + _quoted(environ.get('PATH_INFO', ''))
    query = environ.get('QUERY_STRING', '')
    return f'{schemes[is_secure(environ)]}://{host}{path}' + (f'?{query}' if query else '')


def _quoted(path: str) -> str:
    """A path of WSGI's, decoded to Latin-1 characters (PEP 3333), as it stands in a URL."""
    return quote(path.encode('latin-1', 'replace'), safe="/:@!$&'()*+,;=~-._")
