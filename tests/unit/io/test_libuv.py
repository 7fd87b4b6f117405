"""Tests of watchers and timers, repeated on gevent's other loop, libuv."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.processes import ROOT
from tests.support.programs import require_module

#: A process has one loop, so each test runs in a process of its own. The tests of the
#: end of threads and processes are not among them: there gevent's libuv loop hangs when
#: it is destroyed with a watcher open, also without this library.
FILES = (
    'io/test_connection.py',
    'io/test_forks.py',
    'io/test_keepalive.py',
    'io/test_reactor.py',
    'io/test_stream.py',
    'eventsource/test_response_carrier.py',
)


@pytest.mark.again
@pytest.mark.parametrize('file', FILES)
def test_passes_on_libuv(file: str) -> None:
    require_module('_cffi_backend', 'pip install cffi')
    # gevent warns of each timer below a millisecond, of which the tests have some.
    warning = 'ignore:libuv only supports:UserWarning'
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-W', warning, f'tests/unit/{file}']
    env = {**os.environ, 'GEVENT_LOOP': 'libuv-cffi', 'PYTEST_ADDOPTS': '', 'PYTHONWARNINGS': warning}
    done = subprocess.run(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=110)
    assert done.returncode == 0, done.stdout[-3000:]
