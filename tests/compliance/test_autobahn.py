"""Autobahn's cases against the echo application and the client.

Each must pass strictly.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.compliance import autobahn, deflate
from tests.support.old import serve_old
from tests.support.processes import ROOT, environment
from tests.support.programs import give_up
from tests.support.servers import serve

pytestmark = pytest.mark.compliance

#: Cases in which messages come in one read with a fault or a close frame.
BEFORE_THE_END = ('3.*', '4.*', '5.*')
ECHO_IN_GREENLET_STYLE = '''
import sys
from faye_websocket import Client

url, agent = sys.argv[1:]
with Client(f'{url}/getCaseCount') as ws:
    count = int(ws.receive())
for case in range(1, count + 1):
    with Client(f'{url}/runCase?case={case}&agent={agent}') as ws:
        for message in ws:
            ws.send(message)
with Client(f'{url}/updateReports?agent={agent}') as ws:
    list(ws)
'''


@pytest.fixture(scope='session', autouse=True)
def suite() -> None:
    """The installed suite. Without it, the tests are skipped."""
    try:
        autobahn.wstest()
    except autobahn.MissingProgram as error:
        give_up(str(error))


@pytest.mark.parametrize('kind', ['pywsgi', 'gevent'])
def test_the_server_passes_every_uncompressed_case(
        kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(kind, 'examples.app:app', tmp_path=tmp_path) as server:
        log_end = len(server.error_log())
        rows = autobahn.fuzz_server(server.ws_url(), autobahn.UNCOMPRESSED, tmp_path, agent=kind)
        with capsys.disabled():
            print(f'\n{kind}:\n{autobahn.summary(rows)}')
        assert autobahn.groups(rows) == set(autobahn.UNCOMPRESSED)
        assert autobahn.failures(rows) == []
        assert server.error_log()[log_end:] == ''


def test_the_client_passes_every_uncompressed_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with autobahn.fuzzing_server(autobahn.UNCOMPRESSED, tmp_path, agent='client') as server:
        command = [sys.executable, str(ROOT / 'examples' / 'autobahn_client.py'), server.url, server.agent]
        run = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=autobahn.DEADLINE)
        assert (run.returncode, run.stderr) == (0, '')
        rows = server.rows()
    with capsys.disabled():
        print(f'\nclient:\n{autobahn.summary(rows)}')
    assert run.stdout == f'{len(rows)} cases done\n'
    assert autobahn.groups(rows) == set(autobahn.UNCOMPRESSED)
    assert autobahn.failures(rows) == []


def test_the_greenlet_style_answers_what_comes_before_a_fault(tmp_path: Path) -> None:
    with serve('pywsgi', 'tests.support.greenlet_app:handlers', tmp_path=tmp_path) as server:
        check_greenlet_style(server.ws_url('/echo'), tmp_path)


@pytest.mark.parametrize(('program', 'path'), [('gevent_server', '/'), ('sock', '/echo')])
def test_old_programs_answer_what_comes_before_a_fault(program: str, path: str, tmp_path: Path) -> None:
    with serve_old(program, 'program', tmp_path) as server:
        check_greenlet_style(server.ws_url(path), tmp_path)


def check_greenlet_style(url: str, tmp_path: Path) -> None:
    rows = autobahn.fuzz_server(url, BEFORE_THE_END, tmp_path)
    assert autobahn.groups(rows) == set(BEFORE_THE_END)
    assert autobahn.failures(rows) == []


def test_the_client_in_greenlet_style_answers_what_comes_before_a_fault(tmp_path: Path) -> None:
    with autobahn.fuzzing_server(BEFORE_THE_END, tmp_path, agent='client') as server:
        run = subprocess.run([sys.executable, '-c', ECHO_IN_GREENLET_STYLE, server.url, server.agent],
                             capture_output=True, text=True, env=environment(), timeout=autobahn.DEADLINE)
        assert (run.returncode, run.stderr) == (0, '')
        rows = server.rows()
    assert autobahn.groups(rows) == set(BEFORE_THE_END)
    assert autobahn.failures(rows) == []


@pytest.mark.parametrize('fuzz', [deflate.fuzz_server, deflate.fuzz_client])
def test_both_pass_a_sample_of_the_compressed_cases(fuzz: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = fuzz(autobahn.COMPRESSION_SAMPLE, tmp_path, autobahn.DEADLINE)
    with capsys.disabled():
        print(f'\ncompressed:\n{autobahn.summary(rows)}')
    assert [row.case for row in rows] == sorted(
        autobahn.COMPRESSION_SAMPLE, key=lambda case: [int(part) for part in case.split('.')])
    assert autobahn.failures(rows) == []


def test_all_compressed_cases_were_passed_or_have_a_reason() -> None:
    record = json.loads(deflate.RESULT.read_text())
    for role in ('server', 'client'):
        assert record[role]['cases'] == 216
        assert all(found[2] for found in record[role]['not passed'].values())
