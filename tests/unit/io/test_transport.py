"""Queries on a connected socket."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from typing import Any

import pytest

from faye_websocket.io.transport import is_silent


@pytest.fixture
def raw() -> Any:
    """A socket, and the socket of its peer."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize('form', ['default', 'pure'])
def test_a_plain_socket_is_known_in_a_patched_program(form: str) -> None:
    program = """
from gevent import monkey; monkey.patch_all()
import socket
from faye_websocket.io.transport import find_descriptor
sock = socket.socket()
assert find_descriptor(sock._sock) == sock.fileno() >= 0
"""
    env = {**os.environ, 'FAYE_WEBSOCKET_PURE': '1' if form == 'pure' else ''}
    subprocess.run([sys.executable, '-c', program], env=env, check=True, timeout=60)


class Kernel:
    """A transport with this TCP_INFO."""

    def __init__(self, info: bytes | Exception) -> None:
        self.info = info

    def getsockopt(self, level: int, name: int, size: int) -> bytes:
        """Return the TCP_INFO."""
        assert (level, name, size) == (socket.IPPROTO_TCP, socket.TCP_INFO, 60)
        if isinstance(self.info, Exception):
            raise self.info
        return self.info


class TestIsSilent:
    """TCP's view of a peer from which no bytes are read."""

    @pytest.mark.proves('L1', 'O7')
    @pytest.mark.parametrize(('state', 'probes', 'repetitions', 'milliseconds', 'silent'), [
        (1, 0, 1, 3000, True), (1, 2, 0, 3000, True), (1, 0, 1, 2999, False), (1, 1, 0, 9000, False),
        (1, 0, 0, 9000, False), (7, 0, 1, 9000, False), (8, 0, 1, 9000, False)],
        ids=['owes an answer', 'answers no probe', 'has answered', 'may answer the probe', 'may answer what was just sent',
             'has reset', 'has ended'])
    def test_is_a_peer_that_owes_an_answer(
            self, state: int, probes: int, repetitions: int, milliseconds: int, silent: bool) -> None:
        info = bytearray(60)
        info[0], info[2], info[3] = state, repetitions, probes
        # One segment has no answer.
        struct.pack_into('=I', info, 24, 1)
        struct.pack_into('=I', info, 56, milliseconds)
        assert is_silent(Kernel(bytes(info)), 3) is silent  # type: ignore[arg-type]

    @pytest.mark.proves('L1')
    def test_may_delay_its_answer(self) -> None:
        for milliseconds, silent in ((499, False), (500, True)):
            info = struct.pack('=BxB53xI', 1, 1, milliseconds)
            assert is_silent(Kernel(info), 0.02) is silent  # type: ignore[arg-type]

    @pytest.mark.proves('L1')
    @pytest.mark.parametrize('info', [OSError('no TCP'), AttributeError('no TCP_INFO'), b'short'], ids=['Unix', 'macOS', 'BSD'])
    def test_is_no_peer_without_information_of_the_kernel(self, info: Any) -> None:
        assert is_silent(Kernel(info), 3) is False  # type: ignore[arg-type]

    @pytest.mark.proves('L1')
    def test_is_no_peer_on_a_unix_socket(self, raw: Any) -> None:
        assert is_silent(raw[0], 0) is False
