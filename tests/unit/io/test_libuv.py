"""Tests of watchers and timers, repeated on gevent's other loop, libuv."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.processes import ROOT
from tests.support.programs import require_module

#: A process has one loop, so each test runs in a process of its own.
FILES = (
    'io/test_connection.py',
    'io/test_forks.py',
    'io/test_keepalive.py',
    'io/test_reactor.py',
    'io/test_shutdown.py',
    'io/test_stream.py',
    'eventsource/test_response_carrier.py',
)


@pytest.mark.again
@pytest.mark.parametrize('file', FILES)
def test_passes_on_libuv(file: str) -> None:
    require_module('_cffi_backend', 'pip install cffi')
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', f'tests/unit/{file}']
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, 'GEVENT_LOOP': 'libuv-cffi', 'PYTEST_ADDOPTS': ''}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=110)
    assert done.returncode == 0, done.stdout[-3000:]
