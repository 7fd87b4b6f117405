"""connect: from a URL to a connected socket, through name resolution, TCP, a proxy and TLS.

Everything blocks the calling greenlet, and nothing else; whoever calls bounds the time. A network failure of any stage comes
out as one exception, ``ConnectError``, that names the stage and the reason.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import gevent
import gevent.socket
import gevent.ssl

# Names are resolved in it, and once the process has begun to exit it cannot be imported.
import gevent.threadpool

from ..driver.proxy import Proxy
from ..errors import ConnectError, HandshakeError
from ..http.head import HeaderList, basic_credentials, check_headers
from ..http.host import to_ascii_host
from ..http.proxy_environment import find_proxy
from ..http.url import URL, parse_url
from .own_socket import Socket, TLSSocket, abandon
from .race import Race
from .transport import NestedTLSTransport, Transport, take_over

__all__ = ['ProxySettings', 'connect_to', 'make_context', 'make_proxy', 'wrap']

TLSOptions = ssl.SSLContext | Mapping[str, Any] | None
ProxyOption = str | Mapping[str, Any] | None

_TLS_OPTIONS = frozenset({'verify_peer', 'root_cert_file', 'cert_file', 'key_file', 'server_hostname'})
_RUBYS_NAMES = {
    'private_key_file': 'key_file',
    'cert_chain_file': 'cert_file',
    'sni_hostname': 'server_hostname',
}
_PROXY_OPTIONS = frozenset({'origin', 'headers', 'tls'})


class TLSSettings(NamedTuple):
    """How to speak TLS: a context, and the name to ask for if it is not the host's.

    There is no context where the system's authorities could not be read when the client was made.
    """

    context: ssl.SSLContext | None
    server_hostname: str | None


class ProxySettings(NamedTuple):
    """Where the proxy is, the headers that it gets, and how to speak TLS to it."""

    url: URL
    headers: HeaderList
    tls: TLSSettings


def make_context(tls: TLSOptions) -> TLSSettings:
    """The ``tls`` option. Raises TypeError, ValueError or OSError for one that cannot be used."""
    if isinstance(tls, ssl.SSLContext):
        return TLSSettings(tls, None)
    if tls is not None and not isinstance(tls, Mapping):
        raise TypeError(f'tls: expected an ssl.SSLContext or a dict, got {tls!r:.80}')
    options = dict(tls or {})
    if options:
        return _make_context(options)
    try:
        return _default_context()
    except OSError:
        # It may never be needed, and is tried again when it is.
        return TLSSettings(None, None)


@cache
def _default_context() -> TLSSettings:
    """Return one for all: reading the system's authorities takes 30 ms. Raises OSError when they cannot be read."""
    return _make_context({})


def _make_context(options: dict[str, Any]) -> TLSSettings:
    options = {_RUBYS_NAMES.get(name, name): value for name, value in options.items()}
    if unknown := set(options) - _TLS_OPTIONS:
        raise TypeError(f'tls: unknown option {", ".join(sorted(map(repr, unknown)))}')
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not options.get('verify_peer', True):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    roots = options.get('root_cert_file')
    if roots is None and context.verify_mode != ssl.CERT_NONE:
        _load_authorities(context)
    for file in [roots] if isinstance(roots, str) else roots or ():
        context.load_verify_locations(file)
    if 'key_file' in options and 'cert_file' not in options:
        raise ValueError('tls: key_file needs cert_file')
    if 'cert_file' in options:
        context.load_cert_chain(options['cert_file'], options.get('key_file'))
    return TLSSettings(context, _check_name(options.get('server_hostname')))


def _load_authorities(context: ssl.SSLContext) -> None:
    """Trust the system's authorities. Raises OSError when there is a file of them that cannot be read."""
    context.load_default_certs()
    file = ssl.get_default_verify_paths().cafile
    if file is not None and not context.cert_store_stats()['x509']:
        # OpenSSL says nothing of a file that it cannot open, for want of a descriptor, say.
        try:
            context.load_verify_locations(file)
        except ssl.SSLError:
            # It could be read, and has no certificates.
            pass
        except OSError as error:
            raise OSError(error.errno, f'the authorities cannot be read: {error.strerror}', file) from None


def _find_context(tls: TLSSettings) -> ssl.SSLContext:
    """Return the context to use now. Raises OSError when the system's authorities cannot be read."""
    context = tls.context or _default_context().context
    assert context is not None
    return context


def _check_name(name: object) -> str | None:
    """Return a name as certificates have it. Raises TypeError or ValueError."""
    if name is None:
        return None
    if not isinstance(name, str):
        raise TypeError(f'tls: expected a str as server_hostname, got {name!r:.80}')
    # By itself ``ssl`` would apply Python's codec "idna".
    return name if name.isascii() else to_ascii_host(name)


def make_proxy(proxy: ProxyOption, url: URL) -> ProxySettings | None:
    """The ``proxy`` option, for a connection to ``url``. Raises TypeError or ValueError for one that cannot be used."""
    if proxy == 'env':
        proxy = find_proxy(url)
    if proxy is None:
        return None
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
    except ValueError as error:
        raise ValueError(f'proxy: {error}') from None
    headers = check_headers(options.get('headers'))
    if proxy_url.username is not None:
        headers.append(('Proxy-Authorization', basic_credentials(proxy_url.username, proxy_url.password)))
    return ProxySettings(proxy_url, headers, make_context(options.get('tls')))


def connect_to(
    url: URL,
    *,
    tls: TLSSettings,
    proxy: ProxySettings | None,
    timeout: float,
    socket_path: str | None,
    progress: Callable[[str], None],
) -> Transport:
    """A connection to the server of ``url``, with TLS if it is to be; ``progress`` is told each stage. Raises ConnectError."""
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
            return take_over(sock)
        progress(f'TLS handshake with {url.host}')
        if isinstance(sock, gevent.ssl.SSLSocket):
            return _wrap_nested(sock, url.host, tls)
        return take_over(wrap(sock, url.host, tls))
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
    """Connects to the first address of the host that can be connected to."""
    deadline = time.monotonic() + timeout
    progress(f'name resolution of {host}')
    try:
        # As bytes: gevent's resolver would apply Python's codec "idna", and the hub would print what that refuses.
        addresses = gevent.socket.getaddrinfo(host.encode(), port, type=gevent.socket.SOCK_STREAM)
    except (OSError, RuntimeError) as error:
        # The latter from CPython 3.12, which starts no thread once the process has begun to exit.
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
    """Has the proxy connect to the server."""
    host = f'[{url.host}]' if ':' in url.host else url.host
    tunnel = Proxy(_Blocking(sock), f'{host}:{url.port}', proxy.headers)
    failures: list[HandshakeError] = []
    tunnel.on('error', failures.append)
    try:
        tunnel.start()
        while tunnel.status is None and not failures:
            # Not a byte more than the proxy's answer: what follows belongs to TLS, or to the server's handshake.
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


def wrap(sock: Any, host: str, tls: TLSSettings) -> Any:
    """TLS on a connected socket, with the chain and the host's name checked as the context says. Raises ConnectError."""
    name = _server_name(host, tls)
    pid = os.getpid()
    try:
        context = _find_context(tls)
        # Checks the name: SSLSocket would do that when it has taken the descriptor already, and lose it.
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
        # By hand: its own handshake would leave the descriptor open when a timeout ends it.
        sock = TLSSocket(
            sock=sock,
            server_hostname=name,
            _context=context,
            do_handshake_on_connect=False,
        )
        sock.do_handshake()
    except (OSError, ValueError) as error:
        abandon(sock, pid)
        raise ConnectError(f'TLS handshake with {name} failed: {error}') from error
    except BaseException:
        abandon(sock, pid)
        raise
    return sock


def _wrap_nested(outer: Any, host: str, tls: TLSSettings) -> Transport:
    """TLS with the server inside of the TLS with the proxy. Raises ConnectError."""
    name = _server_name(host, tls)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        inner = _find_context(tls).wrap_bio(incoming, outgoing, server_hostname=name)
        while not _shake_hands(inner):
            outer.sendall(outgoing.read())
            received = outer.recv(65536)
            if not received:
                raise ConnectError(f'TLS handshake with {name} failed: the connection was closed')
            incoming.write(received)
        outer.sendall(outgoing.read())
    except (OSError, ValueError) as error:
        raise ConnectError(f'TLS handshake with {name} failed: {error}') from error
    return NestedTLSTransport(inner, incoming, outgoing, take_over(outer))


def _server_name(host: str, tls: TLSSettings) -> str:
    """Return the name for SNI, and for the certificate, which must have it."""
    # RFC 6066 section 3: "without a trailing dot"; a Host header keeps it, as in browsers.
    return (tls.server_hostname or host).removesuffix('.')


def _shake_hands(tls: ssl.SSLObject) -> bool:
    """A step of the handshake; True when it is done, False when more must come."""
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
