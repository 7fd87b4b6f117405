"""The check of the Origin header (RFC 6455 section 10.2): which pages may connect.

Browsers let a page of any site open a WebSocket to any server, with the user's cookies.
A client that sends no origin is not a browser, and could send any origin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address
from typing import Any

from ..calls import check_is_not_async
from .head import is_host, to_list
from .host import to_ascii_host
from .url import find_host, is_secure, split_url

__all__ = ['AllowedOrigins', 'OriginCheck', 'make_origin_check']

OriginCheck = Callable[[str, Mapping[str, Any]], bool]
AllowedOrigins = str | Iterable[str] | OriginCheck | None
Origin = tuple[str, str, int | None]

_NOT_BRACKETS = 'its host is not just an address in brackets'
# A host name has 253 characters at most; and urlsplit caches its results.
_LONGEST = 512
_DEFAULT_PORTS = {'http': 80, 'https': 443, 'ws': 80, 'wss': 443}
# No page has an origin with one of these schemes.
_WEBSOCKETS = frozenset({'ws', 'wss'})
# urlsplit() removes some of these characters, and takes the others for a part of the
# host.
_BLANK = re.compile(r'[\0-\x20\x7f]')
# RFC 3986 section 3.2.2, without the characters that browsers decode, the wildcard, and
# empty labels.
_LABEL = r"[-~\w!$&'()+,;=]+"
_NAME = re.compile(rf'{_LABEL}(?:\.{_LABEL})*\.?', re.ASCII)
_WILDCARD = '*.'
_EXPECTED = "'same-origin', a list of origins, a callable or None"


def make_origin_check(allowed: AllowedOrigins) -> OriginCheck:
    """Return a check ``(origin, environ) -> bool`` for the ``allowed_origins`` option.

    Raise ValueError or TypeError for an invalid option.
    """
    if allowed is None:
        return _allow_all
    if callable(allowed):
        # A coroutine is true, and would allow every origin.
        check_is_not_async('allowed_origins', allowed)
        return allowed
    if allowed == 'same-origin':
        return _is_same_origin
    if isinstance(allowed, (str, bytes)):
        raise ValueError(f'allowed_origins: expected {_EXPECTED}, got {allowed!r}')
    entries = [_parse_allowed(origin) for origin in to_list('allowed_origins', allowed, _EXPECTED)]
    origins = frozenset(entry for entry in entries if not entry[1].startswith('.'))
    domains = tuple(entry for entry in entries if entry[1].startswith('.'))
    return lambda origin, environ: _is_listed(_parse(origin), origins, domains)


def _allow_all(origin: str, environ: Mapping[str, Any]) -> bool:
    """Return True, for every origin."""
    return True


def _is_listed(
    origin: Origin | None, origins: frozenset[Origin], domains: tuple[Origin, ...]
) -> bool:
    """Return whether an origin is in the list, or below one of the domains."""
    if origin is None:
        return False
    return origin in origins or any(_is_below(origin, domain) for domain in domains)


def _is_below(origin: Origin, domain: Origin) -> bool:
    """Return whether an origin is that of a subdomain of ``domain``, at any depth.

    The host of ``domain`` begins with a dot.
    """
    host, suffix = origin[1], domain[1]
    return (
        (origin[0], origin[2]) == (domain[0], domain[2])
        and host.endswith(suffix)
        and all(host[: -len(suffix)].split('.'))
    )


def _parse_allowed(text: object) -> Origin:
    """Return an entry of the caller's list. The host of a wildcard begins with a dot.

    Raise ValueError, with the reason, for an entry that would match nothing.
    """
    try:
        if not isinstance(text, str):
            raise ValueError('it is not a str')
        scheme, host, port = _split(text)
        if scheme in _WEBSOCKETS:
            raise ValueError(f'an origin begins with http or https, not with {scheme}')
        return scheme, _check_host(scheme, host), port
    except ValueError as error:
        problem = f'{text!r} is not an origin such as https://example.com: {error}'
        raise ValueError(f'allowed_origins: {problem}') from None


def _check_host(scheme: str, host: str) -> str:
    """Return a host as browsers write it. Raise ValueError for an invalid one."""
    if ':' in host:
        return host
    domain = host.removeprefix(_WILDCARD)
    has_wildcard = domain != host
    if '*' in domain:
        raise ValueError("a wildcard stands for subdomains: 'https://*.example.com'")
    if scheme in _DEFAULT_PORTS:
        domain = to_ascii_host(domain)
    if not _NAME.fullmatch(domain):
        raise ValueError(
            'its host has an empty label, or characters that are not allowed in a host'
        )
    if has_wildcard and domain.removesuffix('.').rpartition('.')[2].isdigit():
        raise ValueError('an address has no subdomains')
    return f'.{domain}' if has_wildcard else domain


def _is_same_origin(origin: str, environ: Mapping[str, Any]) -> bool:
    """Return whether the page is from the host that the request names.

    An http page does not pass if the request is secure. An https page passes even if
    the request is not: a proxy that ends TLS may not report it.
    """
    parsed = _parse(origin)
    if parsed is None or (is_secure(environ) and parsed[0] != 'https'):
        return False
    return parsed == _parse(f'{parsed[0]}://{find_host(environ)}')


def _parse(text: str) -> Origin | None:
    """Return scheme, host and port of an origin (RFC 6454 section 7).

    Return None for text that is not an origin, such as ``null``.
    """
    if len(text) > _LONGEST:
        return None
    try:
        return _split(text)
    except ValueError:
        return None


def _split(text: str) -> Origin:
    """Return scheme, host and port of an origin. Raise ValueError, with the reason."""
    if _BLANK.search(text):
        raise ValueError('it has blanks or control characters')
    url = split_url(text, _NOT_BRACKETS)
    port, host = url.port, url.hostname
    if not url.scheme or not host:
        raise ValueError('it names no scheme' if not url.scheme else 'it names no host')
    if url.username is not None:
        raise ValueError('it names a user')
    if url.path or '?' in text or '#' in text:
        raise ValueError('it has a path, a query or a fragment')
    if '[' in url.netloc:
        # urlsplit() ignores text beside the brackets.
        if not is_host(url.netloc):
            raise ValueError(_NOT_BRACKETS)
        # An IPv6 address has many forms. Browsers use the compressed one.
        host = IPv6Address(host).compressed
    return url.scheme, host, _DEFAULT_PORTS.get(url.scheme) if port is None else port
