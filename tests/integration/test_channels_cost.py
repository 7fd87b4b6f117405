"""The cost of channels, as their benchmark measures it."""

from __future__ import annotations

import re
import subprocess
import sys

import gevent.subprocess
import pytest

from tests.support.processes import ROOT, environment
from tests.support.programs import require_module, require_program
from tests.support.waiting import until_in_time

COST = re.compile(r'join (\d+) us, leave (\d+) us, .*memory (-?\d+) bytes', re.DOTALL)


@pytest.mark.proves('R16')
@pytest.mark.parametrize('backend', ['redis', 'memory'])
def test_a_join_takes_less_than_a_millisecond_and_200_bytes(backend: str) -> None:
    if backend == 'redis':
        require_program('redis-server', 'apt-get install redis-server')
        require_module('redis', 'pip install redis')
    command = [sys.executable, str(ROOT / 'benchmarks' / 'channels_cost.py'), '--sockets', '1000', '--channels', '100',
               *(['--memory'] if backend == 'memory' else [])]

    def measure() -> tuple[int, ...]:
        done = gevent.subprocess.run(
            command, cwd=ROOT, env=environment(), timeout=100, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        found = COST.search(done.stdout)
        assert found is not None, done.stderr
        return tuple(map(int, found.groups()))

    join, leave, memory = until_in_time(measure, lambda cost: max(cost[:2]) < 1000)
    assert max(join, leave) < 1000
    assert memory < 200
