"""TLS: everything that knows it.

A client's options, its handshakes, and the transports.

``make_context`` checks the option ``tls``. ``wrap`` makes the handshake on a connected
socket, and ``wrap_nested`` inside of another TLS connection, which leads to a proxy.
Once a connection is taken from gevent's socket, ``TLSTransport`` and
``NestedTLSTransport`` are what a stream reads and writes.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import gevent.ssl

from ..errors import ConnectError
from ..http.head import to_list
from ..http.host import to_ascii_host
from .own_socket import TLSSocket, abandon
from .pem import load_authorities, load_certificate
from .transport import Transport

__all__ = [
    'NestedTLSTransport',
    'TLSOptions',
    'TLSSettings',
    'TLSTransport',
    'make_context',
    'wrap',
    'wrap_nested',
]

TLSOptions = ssl.SSLContext | Mapping[str, Any] | None

_TLS_OPTIONS = frozenset(
    {'verify_peer', 'root_cert_file', 'cert_file', 'key_file', 'server_hostname'}
)
_RUBYS_NAMES = {
    'private_key_file': 'key_file',
    'cert_chain_file': 'cert_file',
    'sni_hostname': 'server_hostname',
}
# The most that a TLS record carries.
_RECORD = 16384
_PATH = (str, bytes, os.PathLike)


class TLSSettings(NamedTuple):
    """The context of TLS, and the name to ask for if it is not the host's.

    There is no context where the system's authorities could not be read when the client
    was made.
    """

    context: ssl.SSLContext | None
    server_hostname: str | None


def make_context(tls: TLSOptions) -> TLSSettings:
    """Return the settings that the option ``tls`` means.

    Raises TypeError, ValueError or OSError for one that cannot be used.
    """
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
    """Return one for all: reading the system's authorities takes 30 ms.

    Raises OSError when they cannot be read.
    """
    return _make_context({})


def _make_context(options: dict[str, Any]) -> TLSSettings:
    options = {_RUBYS_NAMES.get(name, name): value for name, value in options.items()}
    if unknown := set(options) - _TLS_OPTIONS:
        raise TypeError(f'tls: unknown option {", ".join(sorted(map(repr, unknown)))}')
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    is_verified = options.get('verify_peer', True)
    if not isinstance(is_verified, bool):
        # An unset variable of the environment must not turn it off.
        raise TypeError(f'tls: verify_peer: expected True or False, got {is_verified!r:.80}')
    if not is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    roots = options.get('root_cert_file')
    if roots is None and context.verify_mode != ssl.CERT_NONE:
        _load_authorities(context)
    for file in _find_files(roots):
        load_authorities(context, file)
    if 'key_file' in options and 'cert_file' not in options:
        raise ValueError('tls: key_file needs cert_file')
    if 'cert_file' in options:
        cert_file, key_file = options['cert_file'], options.get('key_file')
        _check_file('cert_file', cert_file)
        if key_file is not None:
            _check_file('key_file', key_file)
        load_certificate(context, cert_file, key_file)
    return TLSSettings(context, _check_name(options.get('server_hostname')))


def _find_files(roots: Any) -> list[Any]:
    """Return the files of ``root_cert_file``. Raises TypeError for anything else."""
    if isinstance(roots, _PATH):
        return [roots]
    expected = 'the path of a file, or a list of them, as root_cert_file'
    return [_check_file('root_cert_file', each) for each in to_list('tls', roots or (), expected)]


def _check_file(name: str, file: Any) -> Any:
    if not isinstance(file, _PATH):
        raise TypeError(f'tls: expected the path of a file as {name}, got {file!r:.80}')
    return file


def _load_authorities(context: ssl.SSLContext) -> None:
    """Trust the system's authorities.

    Raises OSError when there is a file of them that cannot be read.
    """
    context.load_default_certs()
    file = ssl.get_default_verify_paths().cafile
    if file is not None and not context.cert_store_stats()['x509']:
        # OpenSSL says nothing of a file that it cannot open, for want of a descriptor,
        # say.
        try:
            context.load_verify_locations(file)
        except ssl.SSLError:
            # It could be read, and has no certificates.
            pass
        except OSError as error:
            raise OSError(
                error.errno, f'the authorities cannot be read: {error.strerror}', file
            ) from None


def _find_context(tls: TLSSettings) -> ssl.SSLContext:
    """Return the context to use now.

    Raises OSError when the system's authorities cannot be read.
    """
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


def wrap(sock: Any, host: str, tls: TLSSettings) -> Any:
    """Make the TLS handshake on a connected socket, and return the socket for it.

    The chain and the host's name are checked as the context says. Raises ConnectError.
    """
    name = _server_name(host, tls)
    pid = os.getpid()
    try:
        context = _find_context(tls)
        # Checks the name: SSLSocket would do that when it has taken the descriptor
        # already, and lose it.
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
        # By hand: its own handshake would leave the descriptor open when a timeout ends
        # it.
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


def wrap_nested(
    outer: Any, host: str, tls: TLSSettings
) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """Make the TLS handshake with a server inside of a TLS connection to a proxy.

    Returns the first arguments of ``NestedTLSTransport``. Raises ConnectError.
    """
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
    return inner, incoming, outgoing


def _server_name(host: str, tls: TLSSettings) -> str:
    """Return the name for SNI, and for the certificate, which must have it."""
    # RFC 6066 section 3: "without a trailing dot"; a Host header keeps it, as in
    # browsers.
    return (tls.server_hostname or host).removesuffix('.')


def _shake_hands(tls: ssl.SSLObject) -> bool:
    """Make a step of the handshake; True when it is done, False when more must come."""
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


class TLSTransport:
    """TLS over a socket.

    ``tls`` is the interpreter's ``_ssl._SSLSocket``, which refers to ``raw`` only
    weakly.
    """

    __slots__ = ('_raw', '_tls', 'close', 'fileno', 'setsockopt')

    def __init__(self, tls: Any, raw: Any) -> None:
        self._tls = tls
        self._raw = raw
        self.fileno = raw.fileno
        self.setsockopt = raw.setsockopt
        self.close = raw.close

    def recv(self, size: int) -> bytes:
        """Read the next record.

        After our close_notify, read raw bytes, which are dropped.

        All of the record, be it more than ``size``: no watcher would report what
        OpenSSL holds of it, as it does when the server has read a part.
        """
        if self._tls is None:
            return bytes(self._raw.recv(size))
        try:
            data: bytes = self._tls.read(size)
            while held := self._tls.pending():
                data += self._tls.read(held)
            return data
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            # An end without close_notify is an end.
            return b''

    def getsockopt(self, level: int, name: int, size: int) -> bytes:
        """Return an option of the socket."""
        return bytes(self._raw.getsockopt(level, name, size))

    def send(self, data: bytes | memoryview) -> int:
        """Write.

        OpenSSL wants a write that had to wait to be repeated with the same bytes, which
        a stream does.
        """
        try:
            return int(self._tls.write(data))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def sendmsg(self, parts: Sequence[bytes | memoryview]) -> int:
        """Write several pieces, in one record if they fit."""
        return self.send(b''.join(parts))

    def shutdown(self, how: int) -> None:
        """End TLS (close_notify), without waiting for the peer's, and then TCP.

        A peer that is given up (SHUT_RDWR) gets no close_notify.
        """
        tls, self._tls = self._tls, None
        if how == socket.SHUT_WR:
            _say_goodbye(tls)
        self._raw.shutdown(how)


def _say_goodbye(tls: Any) -> None:
    """Send close_notify."""
    try:
        tls.shutdown()
    except OSError:
        # The peer's close_notify is not there yet, or the connection is gone: neither
        # changes what follows.
        pass


class NestedTLSTransport:
    """TLS inside of another transport, which is TLS to a proxy.

    OpenSSL works in memory here: ``tls`` is an ssl.SSLObject after its handshake,
    ``incoming`` and ``outgoing`` are its two ssl.MemoryBIO.
    """

    __slots__ = (
        '_incoming',
        '_outer',
        '_outgoing',
        '_taken',
        '_tls',
        '_waiting',
        'close',
        'fileno',
        'setsockopt',
    )

    def __init__(
        self, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, outer: Transport
    ) -> None:
        self._tls: ssl.SSLObject | None = tls
        self._incoming = incoming
        self._outgoing = outgoing
        self._outer = outer
        self._waiting = b''
        self._taken = 0
        self.fileno = outer.fileno
        self.setsockopt = outer.setsockopt
        self.close = outer.close

    def recv(self, size: int) -> bytes:
        """Read all that has come, be it more than ``size``.

        No watcher would report what stays in memory.
        """
        if self._tls is None:
            return self._outer.recv(size)
        data = self._read()
        while data is None:
            received = self._outer.recv(size)
            if not received:
                return b''
            self._incoming.write(received)
            data = self._read()
        return data

    def getsockopt(self, level: int, name: int, size: int) -> bytes:
        """Return an option of the socket."""
        return self._outer.getsockopt(level, name, size)

    def send(self, data: bytes | memoryview) -> int:
        """Write.

        What was encrypted but had to wait goes out at the next call, which a stream
        makes with the same bytes.
        """
        assert self._tls is not None
        if not self._waiting:
            self._taken = self._tls.write(data)
            self._waiting = self._outgoing.read()
        while self._waiting:
            self._waiting = self._waiting[self._outer.send(self._waiting) :]
        return self._taken

    def sendmsg(self, parts: Sequence[bytes | memoryview]) -> int:
        """Write several pieces."""
        return self.send(b''.join(parts))

    def shutdown(self, how: int) -> None:
        """End TLS with the server, then with the proxy."""
        tls, self._tls = self._tls, None
        if how == socket.SHUT_WR:
            assert tls is not None
            self._say_goodbye(tls)
        self._outer.shutdown(how)

    def _say_goodbye(self, tls: ssl.SSLObject) -> None:
        """Send close_notify through the outer transport, if it takes it at once."""
        try:
            tls.unwrap()
        except ssl.SSLError:
            # The server's close_notify is not there yet.
            pass
        try:
            self._outer.send(self._outgoing.read())
        except BlockingIOError:
            pass

    def _read(self) -> bytes | None:
        """Decrypt what is there.

        Returns no bytes at the end, and None until more comes.
        """
        assert self._tls is not None
        records: list[bytes] = []
        try:
            while not records or records[-1]:
                records.append(self._tls.read(_RECORD))
        except ssl.SSLWantReadError:
            return b''.join(records) or None
        return b''.join(records)
