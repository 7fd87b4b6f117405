"""Runs of the tests: deadlines, what is left out, and the line that says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import REQUIRE_ALL
from tests.support.skips import summarize

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(('reasons', 'line'), [
    (['Skipped: nginx is missing: apt-get install nginx-light',
      'haproxy is missing: apt-get install haproxy', 'x: apt-get install haproxy'],
     '3 skipped: 3 want apt-get install haproxy nginx-light'),
    (['Skipped: takes long: python -m pytest --all'] * 2
     + ['node is missing: install Node.js 20, https://nodejs.org/', 'no IPv6 here'],
     '4 skipped: 2 want python -m pytest --all; 1 want install Node.js 20, '
     'https://nodejs.org/; 1 want what -rs says'),
    (['Ruby has no faye-websocket: apt-get install ruby\nerror: none'],
     '1 skipped: 1 want apt-get install ruby'),
])
def test_the_summary_groups_skipped_tests_by_the_command_that_enables_them(
        reasons: list[str], line: str) -> None:
    assert summarize(reasons) == line


def run_pytest(*arguments: str, **environ: str) -> str:
    """Run pytest in a process of its own, and return what it prints."""
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *arguments]
    kept = {name: value for name, value in os.environ.items() if name != REQUIRE_ALL}
    done = subprocess.run(
        command, cwd=ROOT, env={**kept, **environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, timeout=100)
    return done.stdout


MARKED = '''
import gevent
import pytest

@pytest.mark.slow
def test_that_is_slow():
    pass
'''
HANGING = '''
import gevent
import pytest

@pytest.mark.timeout(0.1)
def test_that_hangs():
    gevent.sleep(60)
'''


def run_alone(source: str, folder: Path, *arguments: str, **environ: str) -> str:
    """Run a file as if it were all tests, and return what is printed."""
    (folder / 'test_alone.py').write_text(source)
    return run_pytest('-p', 'tests.conftest', '-o', f'testpaths={folder}', *arguments, **environ)


@pytest.mark.parametrize(('arguments', 'environ', 'runs'), [
    (['-n', '1'], {}, False), (['-n', '1', '--all'], {}, True), ([], {REQUIRE_ALL: '1'}, True),
    (['-n', '1'], {REQUIRE_ALL: '1'}, True)])
def test_slow_tests_run_on_request(
        arguments: list[str], environ: dict[str, str], runs: bool, tmp_path: Path) -> None:
    printed = run_alone(MARKED, tmp_path, *arguments, **environ)
    assert ('1 passed' in printed) is runs, printed
    assert ('1 skipped: 1 want python -m pytest --all' in printed) is not runs, printed


def test_a_test_that_hangs_ends_the_run_with_its_traceback(tmp_path: Path) -> None:
    assert 'gevent/hub.py' in run_alone(HANGING, tmp_path)
