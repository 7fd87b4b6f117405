"""The memory that a decompression bomb costs the process that receives it."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from tests.support.processes import ROOT, environment
from tests.support.recorder import sent
from tests.support.vectors import BINARY, CONTINUATION, RSV1, frame

MAX_LENGTH = 2**24
MIB = 2**20

#: A program that feeds a file to an open driver, and prints the close event and the
#: growth of the peak memory in bytes.
PROGRAM = """
import re, sys
from pathlib import Path
from faye_websocket.extensions import PermessageDeflate
from tests.support import recorder
from tests.unit.driver import test_client
from tests.support.requests import HYBI
role, wire, max_length = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
options = {'extensions': [PermessageDeflate()], 'max_length': max_length}

def peak():
    return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) * 1024

if role == 'server':
    driver, io = recorder.opened({**HYBI, 'HTTP_SEC_WEBSOCKET_EXTENSIONS': 'permessage-deflate'}, **options)
else:
    driver, io = test_client.started(**options)
    driver.parse((test_client.ACCEPTED + 'Sec-WebSocket-Extensions: permessage-deflate\\r\\n\\r\\n').encode())
before = peak()
with wire.open('rb') as file:
    while chunk := file.read(65536):
        driver.parse(chunk)
print(io.events[-1][1], peak() - before, io.events[-1][2])
"""


@pytest.fixture(scope='module')
def bomb() -> bytes:
    """A GiB of zeros, compressed to about a MiB."""
    deflater = zlib.compressobj(9, wbits=-15)
    piece = deflater.compress(bytes(MIB)) + deflater.flush(zlib.Z_FULL_FLUSH)
    bomb = piece * 1024
    assert MIB < len(bomb) + 100_000 < 2 * MIB
    return bomb[:-4]


@pytest.mark.proves('D1')
@pytest.mark.parametrize('pieces', [1, 1000])
@pytest.mark.parametrize('role', ['server', 'client'])
def test_costs_less_than_twice_the_limit(role: str, pieces: int, bomb: bytes, tmp_path: Path) -> None:
    make, wire, size = sent if role == 'server' else frame, tmp_path / 'wire', len(bomb) // pieces + 1
    parts = [bomb[start:start + size] for start in range(0, len(bomb), size)]
    assert len(parts) == pieces
    wire.write_bytes(b''.join(
        make(CONTINUATION if index else BINARY, part, rsv=0 if index else RSV1, fin=index == pieces - 1)
        for index, part in enumerate(parts)))
    command = [sys.executable, '-c', PROGRAM, role, str(wire), str(MAX_LENGTH)]
    run = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    assert run.stderr == ''
    code, growth, reason = run.stdout.strip().split(' ', 2)
    assert (code, reason) == ('1009', f'message too big: more than {MAX_LENGTH} bytes when inflated')
    assert int(growth) < 2 * MAX_LENGTH
    print(f'{role}, {pieces}: {int(growth) / MIB:.1f} MiB')
