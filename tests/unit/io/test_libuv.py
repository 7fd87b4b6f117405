"""gevent's other loop, libuv: whatever works with watchers and timers, run once more on it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.processes import ROOT
from tests.support.programs import require_module

#: A process has one loop, so each has a process of its own.
FILES = (
    'test_connection.py', 'test_forks.py', 'test_keepalive.py', 'test_reactor.py', 'test_registry.py', 'test_stream.py',
    'test_streaming.py')


@pytest.mark.again
@pytest.mark.parametrize('file', FILES)
def test_does_the_same_on_libuv(file: str) -> None:
    require_module('_cffi_backend', 'pip install cffi')
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', f'tests/{file}']
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, 'GEVENT_LOOP': 'libuv-cffi', 'PYTEST_ADDOPTS': ''}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=110)
    assert done.returncode == 0, done.stdout[-3000:]
