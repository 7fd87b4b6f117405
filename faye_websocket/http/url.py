"""URLs: determined for a request from its ``environ``, or parsed for a client."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from .head import is_host, split_target
from .host import parse_host

__all__ = ['URL', 'determine_url', 'find_host', 'is_secure', 'parse_url', 'split_url']

_DEFAULT_PORTS = {'ws': 80, 'wss': 443, 'http': 80, 'https': 443}
# Characters that are not quoted in a path or a query. "%" is among them, so that
# percent-encoded ones are left unchanged.
_URL_CHARACTERS = "%/:@!$&'()*+,;=~-._?[]"
_NO_AUTHORITY = 'its authority is not [user[:password]@]host[:port]'
# RFC 3986 section 3.2. A backslash, which browsers treat as a slash, or a bracket is
# not allowed where two programs could read two different hosts.
_AUTHORITY = re.compile(
    r'(?:(?P<userinfo>[^\\\[\]]*)@)?'
    r'(?P<host>\[[^\\\[\]@]*\]|[^\\\[\]@:]*)'
    r'(?::(?P<port>[0-9]*))?'
)

# The variables by which reverse proxies report the client's side of the connection. The
# names are those that Rack reads, and so Ruby's faye. Traefik sends "wss", which
# werkzeug's ProxyFix passes on.
_SECURE_SCHEMES = ('https', 'wss')
_SECURE = {
    'wsgi.url_scheme': _SECURE_SCHEMES,
    'HTTPS': ('on',),
    'HTTP_X_FORWARDED_SSL': ('on',),
    'HTTP_X_FORWARDED_SCHEME': _SECURE_SCHEMES,
    'HTTP_X_FORWARDED_PROTO': _SECURE_SCHEMES,
}
# The variables in which servers leave the target of a request. pywsgi uses an absolute
# form for the path as well.
_TARGETS = ('PATH_INFO', 'RAW_URI', 'REQUEST_URI')


def is_secure(environ: Mapping[str, Any]) -> bool:
    """Return whether the client reached the server, or its proxy, through TLS."""
    return any(_first(environ.get(name, '')) in values for name, values in _SECURE.items())


def _first(value: object) -> str:
    """Return the first element of a list: it is from the proxy next to the client."""
    return str(value).partition(',')[0].strip().lower()


def find_host(environ: Mapping[str, Any]) -> str:
    """Return the host of the request, with its port if there is one."""
    # RFC 9112 section 3.2.2: with the absolute form, the host of the target is used,
    # and not the Host header.
    for name in _TARGETS:
        authority, _ = split_target(str(environ.get(name, '')))
        if authority and is_host(authority):
            return authority
    server = f'{environ.get("SERVER_NAME", "")}:{environ.get("SERVER_PORT", "")}'
    return environ.get('HTTP_HOST') or server


def determine_url(environ: Mapping[str, Any], schemes: tuple[str, str] = ('ws', 'wss')) -> str:
    """Return the URL of the request.

    Its scheme is the first of ``schemes``, or the second if the request is secure.
    """
    _, path = split_target(environ.get('PATH_INFO', ''))
    path = _quoted(environ.get('SCRIPT_NAME', '')) + _quoted(path)
    # Without the slash, other text would become a part of the host.
    path = path if path.startswith('/') or not path else f'/{path}'
    query = environ.get('QUERY_STRING', '')
    origin = f'{schemes[is_secure(environ)]}://{find_host(environ)}'
    return f'{origin}{path}' + (f'?{query}' if query else '')


def _quoted(path: str) -> str:
    """Return a path for a URL, from one that WSGI decoded as Latin-1 (PEP 3333)."""
    return quote(path.encode('latin-1', 'replace'), safe="/:@!$&'()*+,;=~-._")


class URL(NamedTuple):
    """An absolute URL in the parts that a client needs.

    ``host`` is without brackets; ``target`` is for the request line.
    """

    scheme: str
    host: str
    port: int
    target: str
    username: str | None
    password: str | None

    @property
    def is_secure(self) -> bool:
        """Whether the connection uses TLS."""
        return self.scheme in ('wss', 'https')

    @property
    def authority(self) -> str:
        """The value of the Host header (RFC 6455 section 4.1).

        It has brackets around an IPv6 address, and no default port.
        """
        host = f'[{self.host}]' if ':' in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f'{host}:{self.port}'

    @property
    def origin(self) -> tuple[bool, str, int]:
        """A value that is equal for URLs of one server."""
        return self.is_secure, self.host, self.port


def parse_url(url: str, schemes: tuple[str, ...] = ('ws', 'wss')) -> URL:
    """Return the parts of a URL.

    Raise ValueError, with the reason, for one that a client cannot use (RFC 6455
    section 3).
    """
    if not isinstance(url, str):
        raise TypeError(f'url: expected a str, got {url!r}')
    if any(character <= ' ' or character == '\x7f' for character in url):
        raise ValueError(f'url: {url!r} has blanks or control characters')
    try:
        url.encode()
        parts = split_url(url, _NO_AUTHORITY)
        username, password, host, port = _parse_authority(parts.netloc)
    except ValueError as error:
        raise ValueError(f'url: {url!r} is not a URL: {error}') from None
    if parts.scheme not in schemes:
        raise ValueError(f'url: the scheme must be {" or ".join(schemes)}, not {parts.scheme!r}')
    if not host:
        raise ValueError(f'url: {url!r} names no host')
    # Section 3: "Fragment identifiers are meaningless in the context of WebSocket URIs
    # and MUST NOT be used"
    if '#' in url:
        raise ValueError(f'url: {url!r} has a fragment')
    target = quote(parts.path or '/', safe=_URL_CHARACTERS)
    if parts.query:
        target += '?' + quote(parts.query, safe=_URL_CHARACTERS)
    return URL(
        parts.scheme,
        host,
        _DEFAULT_PORTS[parts.scheme] if port is None else port,
        target,
        username,
        password,
    )


def split_url(url: str, no_authority: str) -> SplitResult:
    """Return the parts of a URL.

    Raise ValueError, with ``no_authority`` for stray brackets.

    The version of Python decides which brackets ``urlsplit`` refuses, and its message.
    """
    try:
        return urlsplit(url)
    except ValueError as error:
        raise ValueError(no_authority if '[' in url or ']' in url else str(error)) from None


def _parse_authority(text: str) -> tuple[str | None, str | None, str, int | None]:
    """Return the user, password, host and port of an authority. Raise ValueError."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise ValueError(_NO_AUTHORITY)
    username, password = _parse_userinfo(match['userinfo'] or '')
    port = int(match['port']) if match['port'] else None
    if port is not None and port > 65535:
        raise ValueError(f'port {port} is out of range')
    return username, password, parse_host(match['host']), port


def _parse_userinfo(text: str) -> tuple[str | None, str | None]:
    """Return the user and the password, or None for each that is missing."""
    if not text:
        return None, None
    username, colon, password = text.partition(':')
    return unquote(username), unquote(password) if colon else None
