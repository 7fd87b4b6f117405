"""A client process for a test to kill.

    python -m tests.support.victim PORT PATH [AUTHORITY]

opens a WebSocket, receives one echo, prints ``open``, and waits until it is ended.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.certificates import Certificate
from tests.support.processes import ROOT, Endpoint, environment
from tests.support.wire import TEXT, RawClient


@contextmanager
def victim(server: Endpoint, path: str) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a client process with an open socket. It is killed at the end of the block.
    """
    authority = [server.certificate.authority] if server.certificate else []
    command = [sys.executable, '-m', 'tests.support.victim', str(server.port), path, *authority]
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        try:
            assert popen.stdout is not None
            assert popen.stdout.readline() == b'open\n'
            yield popen
        finally:
            popen.kill()


def main(port: str, path: str, authority: str = '') -> None:
    """Run the client."""
    certificate = Certificate(authority, '', '') if authority else None
    with RawClient(Endpoint(('127.0.0.1', int(port)), certificate), path) as client:
        client.handshake()
        client.send_frame(TEXT, b'alive')
        client.receive_frame()
        print('open', flush=True)
        sys.stdin.read()


if __name__ == '__main__':
    main(*sys.argv[1:])
