"""race: the first of a host's addresses that can be connected to (RFC 8305, section 5).

In go addresses as getaddrinfo returns them, out comes a connected socket. One that does
not respond delays the next by a quarter of a second, one that refuses by nothing. All
is done in the calling greenlet, which alone is blocked; whatever ends the race, a
timeout or a kill too, no other socket stays open.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

from gevent import socket
from gevent.select import POLLOUT, poll

from .own_socket import Socket, abandon
from .scheduler import stay_in

__all__ = ['Address', 'Race', 'interleave']

#: Family, kind, protocol, canonical name and address.
Address = tuple[int, int, int, str, Any]

# Section 8: the Connection Attempt Delay has "a recommended value of 250 milliseconds",
# and "MUST NOT be less than 10 milliseconds".
_DELAY, _LEAST_DELAY = 0.25, 0.01

_CONNECTED = frozenset({0, errno.EISCONN})
_CONNECTING = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK})


class Race:
    """Attempts to connect to ``addresses``, each of them within ``timeout`` seconds.

    ``str`` of it says of each address how its attempt went.
    """

    __slots__ = ('_delay', '_failure', '_pending', '_pid', '_reasons', '_waiting')

    def __init__(self, addresses: Iterable[Address], timeout: float) -> None:
        self._waiting = deque(interleave(addresses))
        share = timeout / max(1, len(self._waiting))
        self._delay = max(_LEAST_DELAY, min(_DELAY, share))
        self._pid = os.getpid()
        self._pending: dict[int, tuple[Any, Any]] = {}
        # The last attempt's, as the system has it.
        self._failure: OSError | None = None
        self._reasons = {address[0]: 'not tried' for *_, address in self._waiting}

    def __str__(self) -> str:
        return '; '.join(f'{name}: {reason}' for name, reason in self._reasons.items())

    def run(self) -> Any:
        """Return the first socket that is connected. Raises OSError if none can be."""
        try:
            while self._waiting or self._pending:
                sock = self._attempt() if self._waiting else self._wait()
                if sock is not None:
                    sock.settimeout(None)
                    return sock
        finally:
            for sock, _ in self._pending.values():
                abandon(sock, self._pid)
        raise OSError(str(self)) from self._failure

    def _attempt(self) -> Any:
        """Begin an attempt, and return the first socket that is connected in its time.

        Returns None once the next attempt is due, and at once if this one has failed.
        """
        family, kind, protocol, _, address = self._waiting.popleft()
        self._reasons[address[0]] = 'no answer'
        end = time.monotonic() + self._delay if self._waiting else None
        try:
            sock = Socket(family, kind, protocol)
        except OSError as error:
            self._reasons[address[0]] = str(error)
            return None
        sock.setblocking(False)
        descriptor = sock.fileno()
        self._pending[descriptor] = sock, address
        return self._advance(descriptor) or self._wait(descriptor, end)

    def _wait(self, descriptor: int | None = None, end: float | None = None) -> Any:
        """Return the first socket that is connected, or None.

        None is returned at the time ``end``, when the attempt of ``descriptor`` has
        failed, and when there are no attempts.
        """
        while self._pending if descriptor is None else descriptor in self._pending:
            seconds = None if end is None else end - time.monotonic()
            if seconds is not None and seconds <= 0:
                break
            for ready in self._poll(seconds):
                sock = self._advance(ready)
                if sock is not None:
                    return sock
        return None

    def _poll(self, seconds: float | None) -> list[int]:
        """Return the descriptors of attempts that are over, once there are any."""
        poller = poll()
        for descriptor in self._pending:
            poller.register(descriptor, POLLOUT)
        ready = poller.poll(None if seconds is None else seconds * 1000)
        stay_in(self._pid)
        return [descriptor for descriptor, _ in ready]

    def _advance(self, descriptor: int) -> Any:
        """Begin to connect, or find out how it went; return a connected socket."""
        sock, address = self._pending[descriptor]
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or sock.connect_ex(address)
        if error in _CONNECTING:
            return None
        del self._pending[descriptor]
        if error in _CONNECTED:
            return sock
        sock.close()
        self._failure = OSError(error, os.strerror(error))
        self._reasons[address[0]] = str(self._failure)
        return None


def interleave(addresses: Iterable[Address]) -> list[Address]:
    """Return the addresses with their families in turn, that of the first one first."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    rounds = zip_longest(*families.values())
    return [address for each in rounds for address in each if address is not None]
