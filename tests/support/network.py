"""A network that fails on demand: two hosts, and a wire that the test controls.

    with Network() as network:
        with network.here:
            listener = socket.create_server((network.here.address, 0))
        with network.there:
            client = socket.create_connection(listener.getsockname())
        network.loss, network.delay, network.jitter = 0.1, 0.02, 0.02
        network.is_cut = True

The hosts are network namespaces of the kernel. Each has a TUN device, and a thread
carries the packets from one to the other: late, in another order, or not at all. That
needs root and /dev/net/tun, but no further module of the kernel (``tc netem`` is
missing from many). The sockets are ordinary ones of this process: a socket belongs to
the namespace in which it was made.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from tests.support.programs import give_up, require_program

TUN = '/dev/net/tun'
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
CLONE_NEWNET = 0x40000000

#: The greatest number of bytes in a packet of the devices, and the number read at once.
MTU, PACKET = 1500, 2048

_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


class Host:
    """One end of the wire: a namespace with an address."""

    def __init__(self, address: str, ip: str, stack: ExitStack) -> None:
        self.address = address
        self.name = f'faye-{os.getpid()}-{next(_numbers)}'
        self._ip = ip
        self._run('netns', 'add', self.name)
        stack.callback(self._run, 'netns', 'delete', self.name)
        self.tun = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        stack.callback(os.close, self.tun)
        # The names of devices have 15 characters at most.
        device = fcntl.ioctl(self.tun, TUNSETIFF, struct.pack('16sH22x', b'faye%d', IFF_TUN | IFF_NO_PI))
        self.device = device[:16].rstrip(b'\0').decode()
        self._run('link', 'set', self.device, 'netns', self.name)
        self._run('-n', self.name, 'address', 'add', f'{address}/24', 'dev', self.device)
        self._run('-n', self.name, 'link', 'set', 'lo', 'up')
        self._run('-n', self.name, 'link', 'set', self.device, 'mtu', str(MTU))
        self.set_link('up')

    def set_link(self, state: str) -> None:
        """Set the device ``up`` or ``down``, without any notice to the other host."""
        self._run('-n', self.name, 'link', 'set', self.device, state)

    def command(self, *command: str) -> list[str]:
        """Return the command that runs a program on this host."""
        return [self._ip, 'netns', 'exec', self.name, *command]

    def set_option(self, name: str, value: int) -> None:
        """Set an option of the kernel for this host's network, as sysctl does."""
        # The kernel shows each thread the options of its own namespace.
        with self, open(f'/proc/sys/net/{name}', 'w') as file:
            file.write(str(value))


    def __enter__(self) -> None:
        """Enter the namespace: sockets that this thread opens belong to the host."""
        self._outside = os.open('/proc/thread-self/ns/net', os.O_RDONLY)
        inside = os.open(f'/run/netns/{self.name}', os.O_RDONLY)
        try:
            _set_namespace(inside)
        finally:
            os.close(inside)

    def __exit__(self, *_: object) -> None:
        _set_namespace(self._outside)
        os.close(self._outside)

    def _run(self, *arguments: str) -> None:
        subprocess.run([self._ip, *arguments], check=True, capture_output=True, timeout=30)


class Network:
    """The two hosts, ``here`` and ``there``, and the wire.

    These attributes may be set at any time. ``loss`` is the share of packets that are
    lost, ``delay`` the seconds that a packet takes, and ``jitter`` the greatest number
    of seconds added to it: with jitter, packets overtake each other. ``is_cut`` loses
    all packets. The random numbers are equal in every run.
    """

    def __init__(self) -> None:
        ip = require_program('ip', 'apt-get install iproute2')
        if os.geteuid() != 0 or not os.path.exists(TUN):
            give_up(f'namespaces need root and {TUN}')
        self.loss = self.delay = self.jitter = 0.0
        self.is_cut = False
        self.carried = self.lost = self.overtaken = 0
        self._random = random.Random(0)
        self._stack = ExitStack()
        try:
            self.here = Host('10.203.0.1', ip, self._stack)
            self.there = Host('10.203.0.2', ip, self._stack)
        except BaseException:
            self._stack.close()
            raise
        self._is_over = False
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def __enter__(self) -> Network:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join()
        self._stack.close()

    def _carry(self) -> None:
        """Carry packets from one device to the other, each when it is due."""
        to = {self.here.tun: self.there.tun, self.there.tun: self.here.tun}
        due: list[tuple[float, int, int, bytes]] = []
        order = itertools.count()
        last = 0
        while not self._is_over:
            timeout = max(0.0, due[0][0] - time.monotonic()) if due else 0.05
            for tun in select.select([*to], [], [], min(timeout, 0.05))[0]:
                for packet in read_packets(tun):
                    if self.is_cut or self._random.random() < self.loss:
                        self.lost += 1
                    else:
                        when = time.monotonic() + self.delay + self.jitter * self._random.random()
                        heapq.heappush(due, (when, next(order), to[tun], packet))
            while due and due[0][0] <= time.monotonic():
                _, number, tun, packet = heapq.heappop(due)
                if self.is_cut:
                    continue
                self.carried += 1
                self.overtaken += number < last
                last = max(number, last)
                # A device that is down accepts nothing; the packet is lost.
                with suppress(OSError):
                    os.write(tun, packet)


def read_packets(tun: int) -> Iterator[bytes]:
    """Yield the packets that a device has to send."""
    with suppress(OSError):
        for _ in range(64):
            yield os.read(tun, PACKET)


def _set_namespace(descriptor: int) -> None:
    """Move this thread to another namespace."""
    if _libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), 'setns')

