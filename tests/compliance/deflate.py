"""Run all of Autobahn's cases with compression, in both roles, and write deflate.json.

    python -m tests.compliance.deflate

It takes 20 minutes on a quiet machine. CI runs only a sample of the cases, in
test_autobahn.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.compliance import autobahn
from tests.support.processes import ROOT, environment
from tests.support.servers import serve

RESULT = Path(__file__).with_name('deflate.json')

#: The seconds for one role.
DEADLINE = 4 * 3600.0

#: By case: the reason for which it may end otherwise than with OK. There are none.
REASONS: dict[str, str] = {}


def fuzz_server(cases: Sequence[str], directory: Path, deadline: float = DEADLINE) -> list[autobahn.Row]:
    """Return the results of the server."""
    with serve('pywsgi', 'examples.app:app', tmp_path=directory) as server:
        return autobahn.fuzz_server(server.ws_url(), cases, directory, agent='pywsgi', deadline=deadline)


def fuzz_client(cases: Sequence[str], directory: Path, deadline: float = DEADLINE) -> list[autobahn.Row]:
    """Return the results of the client."""
    with autobahn.fuzzing_server(cases, directory, agent='client') as server:
        command = [sys.executable, str(ROOT / 'examples' / 'autobahn_client.py'), server.url, server.agent]
        subprocess.run(command, stdout=subprocess.DEVNULL, env=environment(), timeout=deadline, check=True)
        return server.rows()


def summarize(rows: Sequence[autobahn.Row]) -> dict[str, Any]:
    """Return the number of cases with each result, and the reasons of those that did
    not pass.
    """
    counts = Counter(f'{row.behavior}, closing {row.behavior_close}' for row in rows)
    others = {row.case: [row.behavior, row.behavior_close, REASONS.get(row.case, '')] for row in autobahn.failures(rows)}
    return {'cases': len(rows), 'results': counts, 'not passed': others}


def main() -> int:
    """Run all cases."""
    record: dict[str, Any] = {
        'date': f'{datetime.now(timezone.utc):%Y-%m-%d}',
        'versions': {
            'faye_websocket': version('faye-websocket'), 'Python': platform.python_version(), 'gevent': version('gevent'),
            'zlib': zlib.ZLIB_RUNTIME_VERSION, 'suite': autobahn.SUITE},
        'cases': autobahn.COMPRESSION,
    }
    for role, fuzz in (('server', fuzz_server), ('client', fuzz_client)):
        with TemporaryDirectory(prefix='autobahn-') as directory:
            record[role] = summarize(fuzz(autobahn.COMPRESSION, Path(directory)))
        print(role, json.dumps(record[role]), flush=True)
        RESULT.write_text(json.dumps(record, indent=2) + '\n')
    unexplained = [case for role in ('server', 'client') for case, found in record[role]['not passed'].items() if not found[2]]
    return 1 if unexplained else 0


if __name__ == '__main__':
    sys.exit(main())
