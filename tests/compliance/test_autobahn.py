"""Autobahn's cases against the echo application, which must pass each of them strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compliance import autobahn
from tests.support.programs import give_up
from tests.support.servers import serve

pytestmark = pytest.mark.compliance


@pytest.fixture(scope='session', autouse=True)
def suite() -> None:
    """The installed suite, without which there is nothing to do here."""
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
