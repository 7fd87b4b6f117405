"""Client: the client's end, with the same face as the server's."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import quote, urldefrag, urljoin

import gevent
import gevent.socket
import gevent.ssl
from gevent.monkey import get_original

from . import driver
from .api import API
from .driver.base import MAX_FRAGMENTS, MAX_LENGTH
from .driver.client import check_protocols
from .driver.codes import CloseCode
from .driver.control_frames import check_close
from .errors import ConnectError
from .events import DeclaredHandlers
from .extensions import Extension
from .extensions.pipeline import EXPECTED
from .http.head import HeaderList, Headers, check_headers, to_list
from .http.response_headers import ResponseHeaders
from .http.url import parse_url
from .io.connection import Connection
from .io.dial import ProxyOption, dial, make_proxy
from .io.journal import CLIENT, describe_client
from .io.limits import bound_time, check_number, make_limits
from .io.reactor import current_reactor
from .io.shutdown import open_sockets
from .io.takeover import detach
from .io.tls import TLSOptions, make_context, wrap
from .io.transport import Transport, hang_up
from .io.watched import watched

__all__ = ['Client']

# Headers that are not for another server.
_SECRETS = frozenset({'authorization', 'cookie', 'proxy-authorization'})
_ASCII = bytes(range(128))
# As much as servers take in a request line. There is a bound because urlsplit caches
# its arguments.
_LONGEST_LOCATION = 8192
_SCHEMES = {'ws': 'http', 'wss': 'https'}
_SCHEMES_BACK = {'http': 'ws', 'https': 'wss'}


class _IO(NamedTuple):
    """The ``io`` of the driver until there is a connection."""

    url: str
    write: Callable[[bytes], object]


class Client(DeclaredHandlers, API):
    """A WebSocket to the server at ``url``, which connects at once, in the background.

    ``protocols`` are the subprotocols to offer, best first: a list, or a
    comma-separated string. The handshake fails when the server agrees to none of them.
    Needs no monkey-patching.

    - ``extensions``: extension objects to offer, such as PermessageDeflate().
    - ``headers``: further request headers, a mapping or a list of pairs.
    - ``proxy``: ``'http://user:password@host:port'``,
      ``{'origin': ..., 'headers': ..., 'tls': ...}``, ``'env'`` for the proxy that the
      environment variables name, or ``None``.
    - ``tls``: an ssl.SSLContext, or a dict with ``verify_peer``, ``root_cert_file``,
      ``cert_file``, ``key_file``, ``server_hostname``. By default the chain and the
      host's name are verified, against the system's authorities.
    - ``timeout``: seconds for everything from name resolution to the handshake.
    - ``max_redirects``: redirects to follow; Authorization, Proxy-Authorization and
      Cookie stay with their origin, and wss never becomes ws.
    - ``socket_path``: a Unix socket to connect to; ``socket``: a connected socket to
      take over.

    The other options are those of ``WebSocket``. Raises ValueError or TypeError at once
    for an option that is wrong. Every failure of the network becomes an error event,
    whose ``message`` says which stage failed and why, and a close event with 1006.
    """

    __slots__ = (
        '__dict__',
        '__weakref__',
        '_connecting',
        '_deadline',
        '_driver',
        '_headers',
        '_proxy_option',
        '_redirects',
        '_socket',
        '_socket_path',
        '_stage',
        '_tls',
        '_url',
    )

    _is_server = False
    _own_logger = CLIENT
    # ``metrics`` has others.
    _connection_class: type[Connection] = Connection

    def __init__(
        self,
        url: str,
        protocols: Iterable[str] | str | None = None,
        *,
        extensions: Iterable[Extension] = (),
        headers: Headers = None,
        proxy: ProxyOption = None,
        tls: TLSOptions = None,
        timeout: float = 30,
        max_redirects: int = 0,
        socket_path: str | None = None,
        socket: Any = None,
        max_length: int = MAX_LENGTH,
        max_fragments: int = MAX_FRAGMENTS,
        ping: float | None = None,
        ping_timeout: float | None = None,
        close_timeout: float = 10,
        max_buffered: float = 2**24,
        overflow: str = 'close',
        max_queue: float = 64,
        max_queued: float = 2**24,
    ) -> None:
        super().__init__()
        limits = make_limits(
            max_length=max_length,
            max_fragments=max_fragments,
            ping=ping,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_buffered=max_buffered,
            overflow=overflow,
            max_queue=max_queue,
            max_queued=max_queued,
        )
        _check_numbers(timeout, max_redirects)
        self._url = url
        self._headers: HeaderList = check_headers(headers)
        self._redirects = max_redirects
        self._proxy_option = proxy
        self._tls = make_context(tls)
        self._socket = _check_socket(socket)
        self._socket_path = _check_path(socket_path)
        self._stage = 'connecting'
        make_proxy(proxy, parse_url(url))
        self._deadline = time.monotonic() + bound_time(timeout)
        connect = watched(self._connection_class, CLIENT, describe_client, url)
        self._connection = connect(self, limits, current_reactor())
        self._driver = driver.client(
            _IO(url, self._connection.write),
            check_protocols(protocols),
            headers=self._headers,
            # A socket that was handed in cannot be had again.
            redirect=self._redirected if max_redirects and socket is None else None,
            extensions=tuple(to_list('extensions', extensions, EXPECTED)),
            max_length=max_length,
            max_fragments=max_fragments,
        )
        self._connection.drive(self._driver)
        open_sockets.add_client(self)
        self._connecting: Any = gevent.spawn(self._connect)

    @property
    def url(self) -> str:
        """DOM's url; that of the last redirect, where one was followed."""
        return self._url

    @property
    def status(self) -> int | None:
        """The status of the handshake's response, ``None`` before there is one."""
        return self._driver.status

    @property
    def headers(self) -> ResponseHeaders:
        """The headers of the handshake's response; empty before there is one.

        A mapping by names in any case: ``ws.headers['x']`` is the first value, and
        ``ws.headers.pairs()`` are all names and values in their order.
        """
        return ResponseHeaders(self._driver.headers)

    @property
    def body(self) -> bytes:
        """The first KiB of the body of a response that refused the handshake."""
        return self._driver.body

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = '') -> None:
        """DOM's close; before the connection is established it fails it."""
        check_close(code, reason, server=False)
        if self.ready_state == self.CONNECTING:
            self._connection.give_up(ConnectError('closed before the connection was established'))
            self._connecting.kill(block=False)
        else:
            super().close(code, reason)

    def _start(self) -> None:
        """Do nothing: a client starts when it is made."""

    def _interrupt(self) -> None:
        self.close()

    def _connect(self) -> None:
        """Connect, or give up. Runs in a greenlet of its own."""
        if self.ready_state == self.CLOSED:
            # The client belongs to the parent of this forked child.
            return
        seconds = self._deadline - time.monotonic()
        timeout = gevent.Timeout(max(0, seconds))
        try:
            with timeout:
                transport = self._open_transport(seconds)
        except gevent.Timeout as fired:
            if fired is not timeout:
                raise
            self._connection.give_up(ConnectError(f'{self._stage} timed out'))
        except ConnectError as error:
            self._connection.give_up(error)
        except BaseException as error:
            # A fault of ours, or the greenlet was killed: nothing must wait for good.
            self._connection.give_up(ConnectError(f'{self._stage} failed: {error!r}'))
            raise
        else:
            if self._driver.ready_state == self.CLOSED:
                hang_up(transport)
            else:
                self._connection.attach(transport, self._deadline - time.monotonic())

    def _open_transport(self, seconds: float) -> Transport:
        """Return a connection to the server. Raises ConnectError."""
        url = parse_url(self._url)
        if self._socket is not None:
            sock = _as_gevent(self._socket)
            has_tls = isinstance(sock, gevent.ssl.SSLSocket)
            return detach(
                wrap(sock, url.host, self._tls) if url.is_secure and not has_tls else sock
            )
        proxy = make_proxy(self._proxy_option, url)
        return dial(
            url,
            tls=self._tls,
            proxy=proxy,
            timeout=seconds,
            socket_path=self._socket_path,
            progress=self._reach,
        )

    def _reach(self, stage: str) -> None:
        """Note how far connecting has come, for the text of an error."""
        self._stage = stage

    def _redirected(self, location: str) -> bool:
        """Follow a redirect, unless it must not be followed. Called on the hub."""
        if self._redirects < 1 or len(location) > _LONGEST_LOCATION:
            return False
        try:
            before, url = parse_url(self._url), _join(self._url, location)
            after = parse_url(url)
        except ValueError:
            return False
        if before.is_secure and not after.is_secure:
            return False
        if before.origin != after.origin:
            if self._socket_path is not None:
                # That socket is no way to another server.
                return False
            self._headers = [pair for pair in self._headers if pair[0].lower() not in _SECRETS]
        self._url = url
        self._redirects -= 1
        self._connection.detach()
        self._driver.restart(url, self._headers)
        self._connecting = gevent.spawn(self._connect)
        return True


def _check_numbers(timeout: float, max_redirects: float) -> None:
    """Raise TypeError or ValueError for a number that these options cannot be."""
    for name, number in (('timeout', timeout), ('max_redirects', max_redirects)):
        check_number(name, number)
        if not number >= 0:
            raise ValueError(f'{name}: expected at least 0, got {number!r}')
    if max_redirects != math.inf and int(max_redirects) != max_redirects:
        raise ValueError(f'max_redirects: expected a whole number, got {max_redirects!r}')


def _check_socket(sock: Any) -> Any:
    """Return the ``socket`` option.

    Raises TypeError for what is no socket, or whose TLS would block the process.
    """
    if sock is not None and not isinstance(
        sock, (get_original('socket', 'socket'), gevent.socket.socket)
    ):
        raise TypeError(f'socket: expected a connected socket, got {sock!r:.80}')
    if isinstance(sock, get_original('ssl', 'SSLSocket')):
        raise TypeError(
            'socket: its TLS is not of gevent: hand in gevent.ssl.SSLSocket, or the socket without TLS'
        )
    return sock


def _check_path(path: Any) -> Any:
    """Return the ``socket_path`` option.

    Raises TypeError, or ValueError for a path that no system call takes.
    """
    if path is not None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            raise TypeError(f'socket_path: expected a str, got {path!r:.80}')
        path = os.fspath(path)
        if (b'\0' if isinstance(path, bytes) else '\0') in path[1:]:
            raise ValueError(f'socket_path: {path!r:.80} has a NUL in it')
    return path


def _as_gevent(sock: Any) -> Any:
    """Return a connected socket as one of gevent's. Raises ConnectError."""
    if isinstance(sock, gevent.socket.socket) and sock.fileno() >= 0:
        return sock
    try:
        return gevent.socket.socket(sock.family, sock.type, sock.proto, fileno=sock.detach())
    except (OSError, ValueError) as error:
        raise ConnectError(f'the socket cannot be used: {error}') from error


def _join(url: str, location: str) -> str:
    """Return the URL that a redirect leads to, without its fragment.

    urljoin does not resolve references in ws and wss, so it gets http and https.
    """
    scheme, _, rest = url.partition(':')
    # The header's bytes were decoded as Latin-1; those that are not ASCII are sent as
    # they came.
    location = quote(location.encode('latin-1'), safe=_ASCII)
    target = urldefrag(urljoin(f'{_SCHEMES[scheme.lower()]}:{rest}', location)).url
    scheme, _, rest = target.partition(':')
    return f'{_SCHEMES_BACK.get(scheme.lower(), scheme)}:{rest}'
