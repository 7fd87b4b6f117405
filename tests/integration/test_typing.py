"""User programs checked by mypy in its strict mode and by pyright."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.processes import ROOT
from tests.support.programs import give_up, require_program

PROGRAM = (ROOT / 'tests' / 'support' / 'typing_user.py').read_text()
FAULTS = """

wrong: int = WebSocket({}).url
options({}).send('hi').upper()
Client('ws://localhost/', pings=3)
"""
# Values that cannot be sent: each line is a fault.
NOT_SENT = """

options({}).send(None)
options({}).send({})
options({}).send(['a'])
options({}).send(1j)
broadcast([], None)
EventSource({}).send(None)
EventSource({}).send(b'')
EventSource({}).send('', event=b'')
EventSource({}).send('', id=[])
"""
# The library is checked as an installed one: its types are used, not its code.
COMMANDS = {
    'mypy': ['mypy', '--strict', '--config-file=', '--cache-dir', os.devnull, '--follow-imports', 'silent', 'program.py'],
    'pyright': ['pyright', '--pythonpath', sys.executable],
}
PYRIGHT = {'include': ['program.py'], 'extraPaths': [str(ROOT)]}


def check(checker: str, program: str, directory: Path) -> str:
    """Return the output of a type checker for a program outside of this project."""
    if find_spec(checker) is None:
        give_up(f'{checker} is missing: pip install {checker}')
    if checker == 'pyright':
        # pyright would download Node, which is not possible on every machine.
        require_program('node', 'apt-get install nodejs')
    (directory / 'program.py').write_text(program)
    (directory / 'pyrightconfig.json').write_text(json.dumps(PYRIGHT))
    env = {**os.environ, 'MYPYPATH': str(ROOT), 'PYRIGHT_PYTHON_IGNORE_WARNINGS': '1'}
    command = [sys.executable, '-m', *COMMANDS[checker]]
    result = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=110)
    return result.stdout + result.stderr


@pytest.mark.proves('F4')
@pytest.mark.parametrize(('checker', 'words'), [('mypy', 'Success: no issues found'), ('pyright', '0 errors')])
def test_a_program_that_uses_everything_is_clean(checker: str, words: str, tmp_path: Path) -> None:
    report = check(checker, PROGRAM, tmp_path)
    assert words in report, report


@pytest.mark.parametrize(('checker', 'words'), [('mypy', 'Found 3 errors'), ('pyright', '3 errors')])
def test_a_program_with_three_faults_is_not(checker: str, words: str, tmp_path: Path) -> None:
    report = check(checker, PROGRAM + FAULTS, tmp_path)
    assert words in report, report


@pytest.mark.proves('F4')
@pytest.mark.parametrize(('checker', 'words'), [('mypy', 'Found 9 errors'), ('pyright', '9 errors')])
def test_a_value_that_cannot_be_sent_is_a_fault(checker: str, words: str, tmp_path: Path) -> None:
    report = check(checker, PROGRAM + NOT_SENT, tmp_path)
    assert words in report, report
