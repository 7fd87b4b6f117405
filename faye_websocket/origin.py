"""Which web pages may open a WebSocket: the check of the Origin header (RFC 6455 section 10.2).

Browsers let a page of any site open a WebSocket to any server, with the user's cookies. A client that sends no origin is no
browser, and could send any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from .url import is_secure

__all__ = ['AllowedOrigins', 'OriginCheck', 'make_origin_check']

OriginCheck = Callable[[str, Mapping[str, Any]], bool]
AllowedOrigins = str | Iterable[str] | OriginCheck | None
Origin = tuple[str, str, int | None]

_DEFAULT_PORTS = {'http': 80, 'https': 443, 'ws': 80, 'wss': 443}


def make_origin_check(allowed: AllowedOrigins) -> OriginCheck:
    """A check ``(origin, environ) -> bool`` for the ``allowed_origins`` option. ValueError or TypeError for a bad one."""
    if allowed is None:
        return lambda origin, environ: True
    if callable(allowed):
        return allowed
    if allowed == 'same-origin':
        return _is_same_origin
    if isinstance(allowed, (str, bytes)):
        raise ValueError(f"allowed_origins: expected 'same-origin', a list of origins, a callable or None, got {allowed!r}")
    origins = frozenset(_parse_allowed(origin) for origin in allowed)
    return lambda origin, environ: _parse(origin) in origins


def _parse_allowed(text: object) -> Origin:
    """An origin of the caller's."""
    origin = _parse(text) if isinstance(text, str) else None
    if origin is None:
        raise ValueError(f'allowed_origins: {text!r} is not an origin such as https://example.com')
    return origin


def _is_same_origin(origin: str, environ: Mapping[str, Any]) -> bool:
    """Whether the page came from the host that the request names; not from its http half if the request came by https.

    The other way round passes: a proxy that takes TLS off need not tell.
    """
    parsed = _parse(origin)
    if parsed is None or (is_secure(environ) and parsed[0] != 'https'):
        return False
    return parsed == _parse(f'{parsed[0]}://{environ.get("HTTP_HOST", "")}')


def _parse(text: str) -> Origin | None:
    """Scheme, host and port of an origin (RFC 6454 section 7); ``None`` for what is not one, such as ``null``."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return None
    if not url.scheme or not url.hostname or url.username is not None or url.path or url.query or url.fragment:
        return None
    return url.scheme, url.hostname, _DEFAULT_PORTS.get(url.scheme) if port is None else port
