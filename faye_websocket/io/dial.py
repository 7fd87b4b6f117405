"""dial: from a URL to a connected socket, by way of DNS, TCP, a proxy and TLS.

Everything blocks the calling greenlet, and nothing else; the caller bounds the time. A
network failure of any stage is raised as one exception, ``ConnectError``, that names
the stage and the reason.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gevent
import gevent.socket
import gevent.ssl

# Names are resolved in it, and once the process has begun to exit it cannot be
# imported.
import gevent.threadpool

from ..driver.proxy import Proxy
from ..errors import ConnectError, HandshakeError
from ..http.head import HeaderList, basic_credentials, check_headers
from ..http.proxy_environment import find_proxy
from ..http.url import URL, parse_url
from .own_socket import Socket, abandon
from .race import Race
from .takeover import detach
from .tls import NestedTLSTransport, TLSSettings, make_context, wrap, wrap_nested
from .transport import Transport

__all__ = ['ProxyOption', 'ProxySettings', 'dial', 'make_proxy']

ProxyOption = str | Mapping[str, Any] | None

_PROXY_OPTIONS = frozenset({'origin', 'headers', 'tls'})


class ProxySettings(NamedTuple):
    """The URL of a proxy, the headers that it gets, and the settings of TLS with it."""

    url: URL
    headers: HeaderList
    tls: TLSSettings


def make_proxy(proxy: ProxyOption, url: URL) -> ProxySettings | None:
    """Return the proxy that the option ``proxy`` means, for a connection to ``url``.

    Raises TypeError or ValueError for one that cannot be used.
    """
    if proxy == 'env':
        proxy = find_proxy(url)
    if proxy is None:
        return None
    if not isinstance(proxy, (str, Mapping)):
        raise TypeError(f"proxy: expected a URL, a dict, 'env' or None, got {proxy!r:.80}")
    options: dict[str, Any] = {'origin': proxy} if isinstance(proxy, str) else dict(proxy)
    if unknown := set(options) - _PROXY_OPTIONS:
        raise TypeError(f'proxy: unknown option {", ".join(sorted(map(repr, unknown)))}')
    if 'origin' not in options:
        raise ValueError('proxy: origin is missing')
    if options['origin'] is None:
        # Ruby's way to say that there is none
        return None
    try:
        proxy_url = parse_url(options['origin'], ('http', 'https'))
    except (TypeError, ValueError) as error:
        raise type(error)(f'proxy: {error}') from None
    headers = check_headers(options.get('headers'))
    if proxy_url.username is not None:
        headers.append(
            ('Proxy-Authorization', basic_credentials(proxy_url.username, proxy_url.password))
        )
    return ProxySettings(proxy_url, headers, make_context(options.get('tls')))


def dial(
    url: URL,
    *,
    tls: TLSSettings,
    proxy: ProxySettings | None,
    timeout: float,
    socket_path: str | None,
    progress: Callable[[str], None],
) -> Transport:
    """Return a connection to the server of ``url``, with TLS if the URL says so.

    ``progress`` is called with the name of each stage. Raises ConnectError.
    """
    pid = os.getpid()
    if socket_path is not None:
        sock = _connect_unix(socket_path)
    else:
        there = url if proxy is None else proxy.url
        sock = _connect_tcp(there.host, there.port, timeout, progress)
    try:
        if proxy is not None:
            if proxy.url.is_secure:
                progress(f'TLS handshake with the proxy {proxy.url.host}')
                sock = wrap(sock, proxy.url.host, proxy.tls)
            progress(f'the proxy {proxy.url.authority}')
            _through_proxy(sock, url, proxy)
        if not url.is_secure:
            return detach(sock)
        progress(f'TLS handshake with {url.host}')
        if isinstance(sock, gevent.ssl.SSLSocket):
            return NestedTLSTransport(*wrap_nested(sock, url.host, tls), detach(sock))
        return detach(wrap(sock, url.host, tls))
    except BaseException:
        abandon(sock, pid)
        raise


def _connect_unix(path: str) -> Any:
    pid = os.getpid()
    sock = Socket(gevent.socket.AF_UNIX)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        raise ConnectError(f'connecting to {path} failed: {error}') from error
    except BaseException:
        abandon(sock, pid)
        raise
    return sock


def _connect_tcp(host: str, port: int, timeout: float, progress: Callable[[str], None]) -> Any:
    """Connect to the first address of the host that can be connected to."""
    deadline = time.monotonic() + timeout
    progress(f'name resolution of {host}')
    try:
        # As bytes: gevent's resolver would apply Python's codec "idna", and the hub
        # would print what that refuses.
        addresses = gevent.socket.getaddrinfo(host.encode(), port, type=gevent.socket.SOCK_STREAM)
    except (OSError, RuntimeError) as error:
        # The latter from CPython 3.12, which starts no thread once the process has
        # begun to exit.
        raise ConnectError(f'name resolution of {host} failed: {error}') from error
    stage = f'connecting to {host}:{port}'
    progress(stage)
    race = Race(addresses, deadline - time.monotonic())
    try:
        return race.run()
    except OSError as error:
        raise ConnectError(f'{stage} failed: {error}') from error
    except gevent.Timeout:
        if len(addresses) > 1:
            progress(f'{stage} ({race})')
        raise


def _through_proxy(sock: Any, url: URL, proxy: ProxySettings) -> None:
    """Make the proxy connect to the server. Raises ConnectError."""
    host = f'[{url.host}]' if ':' in url.host else url.host
    tunnel = Proxy(_Blocking(sock), f'{host}:{url.port}', proxy.headers)
    failures: list[HandshakeError] = []
    tunnel.on('error', failures.append)
    try:
        tunnel.start()
        while tunnel.status is None and not failures:
            # Not a byte more than the proxy's answer: what follows belongs to TLS, or
            # to the server's handshake.
            chunk = sock.recv(1)
            tunnel.parse(chunk) if chunk else tunnel.end()
    except OSError as error:
        raise ConnectError(f'the proxy broke the connection: {error}') from error
    if failures:
        raise ConnectError(f'proxy: {failures[0]}') from failures[0]


class _Blocking:
    """A socket as a driver's io."""

    def __init__(self, sock: Any) -> None:
        self.write = sock.sendall
