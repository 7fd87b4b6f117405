"""The proxy for a URL, by the environment variables that curl uses.

They are ``ws_proxy`` or ``http_proxy``, for TLS ``wss_proxy`` or ``https_proxy``, else
``all_proxy``; and ``no_proxy`` lists hosts for which no proxy is used. Each name may be
in capitals; lower case takes precedence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from urllib.request import getproxies_environment

from .host import parse_host
from .url import URL

__all__ = ['find_proxy']

_NAMES = {False: ('ws', 'http', 'all'), True: ('wss', 'https', 'all')}
_SEPARATOR = re.compile(r'[,\s]+')
_ENTRY = re.compile(r'(\[[^\]]*\]|[^:]*)(?::(\d+))?')


def find_proxy(url: URL) -> str | None:
    """Return the URL of the proxy through which to connect to ``url``, or None."""
    # This function ignores HTTP_PROXY in a CGI program, where a client could set it
    # with the header "Proxy".
    variables = getproxies_environment()
    if any(_is_covered(url, entry) for entry in _entries(variables)):
        return None
    found = [variables[name] for name in _NAMES[url.is_secure] if name in variables]
    if not found:
        return None
    return found[0] if '://' in found[0] else f'http://{found[0]}'


def _entries(variables: Mapping[str, str]) -> Iterator[str]:
    """Return the entries of no_proxy."""
    return filter(None, _SEPARATOR.split(variables.get('no', '')))


def _is_covered(url: URL, entry: str) -> bool:
    """Return whether an entry of no_proxy applies to the host of ``url``.

    An entry is ``*``, an address, a network such as ``10.0.0.0/8``, or a name, which
    includes its subdomains. All but networks may have a port.
    """
    if entry == '*':
        return True
    if '/' in entry:
        return _is_in_network(url.host, entry)
    return _is_host(url, entry)


def _is_in_network(host: str, network: str) -> bool:
    """Return whether a host is an address in a network.

    Return False if either is not valid.
    """
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def _is_host(url: URL, entry: str) -> bool:
    """Return whether a host is that of an entry, or a subdomain of it."""
    match = _ENTRY.fullmatch(entry)
    # An entry with more colons is an IPv6 address.
    name, port = match.groups() if match else (f'[{entry}]', None)
    try:
        covered = parse_host(name.removeprefix('*').removeprefix('.').rstrip('.'))
    except ValueError:
        return False
    host = url.host.rstrip('.')
    return (host == covered or host.endswith(f'.{covered}')) and port in (None, str(url.port))
