"""Print the matrix of endings as a table in reStructuredText.

    python -m tools.endings [REPORT.xml]

The report is one that ``pytest --junitxml`` has written of
tests/integration/test_endings.py. Without one, the tests are run now. The exit status
is 0 if every cell is green.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from tests.integration.test_endings import CELLS, ENDINGS, KINDS, Told
from tests.support.processes import ROOT

HEADS = {
    'websocket': 'WebSocket',
    'greenlet': 'in greenlet style',
    'client': 'Client',
    'eventsource': 'EventSource',
}

Cell = tuple[str, str]


def read_report(path: Path) -> set[str]:
    """Return the ids of the cells whose test has passed."""
    cases = ElementTree.parse(path).iter('testcase')
    return {
        str(case.get('name')).partition('[')[2][:-1]
        for case in cases
        if not any(case.find(tag) is not None for tag in ('failure', 'error', 'skipped'))
    }


def run_tests() -> set[str]:
    """Run the tests, and return the ids of the cells whose test has passed."""
    with TemporaryDirectory() as directory:
        report = Path(directory, 'report.xml')
        command = [
            sys.executable,
            '-m',
            'pytest',
            '-q',
            'tests/integration/test_endings.py',
            f'--junitxml={report}',
        ]
        subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
        return read_report(report)


def describe(told: Told | None, passed: int, total: int) -> str:
    """Return the text of one cell: the events of the application, and the servers that
    pass.
    """
    if told is None:
        return ''
    reason = f' {told.reason}' if told.reason else ''
    return f'{told.code}{reason}{", clean" if told.was_clean else ""} ({passed}/{total})'


def table(passed: set[str]) -> str:
    """Return the matrix."""
    total = Counter((kind, name) for _, kind, name in CELLS)
    green = Counter(
        (kind, name) for setting, kind, name in CELLS if f'{setting}-{kind}-{name}' in passed
    )
    rows = [['ending', *(HEADS[kind] for kind in KINDS)]]
    rows += [
        [
            name,
            *(
                describe(getattr(ending, kind), green[kind, name], total[kind, name])
                for kind in KINDS
            ),
        ]
        for name, ending in ENDINGS.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rule = ' '.join('=' * width for width in widths)
    lines = [
        ' '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return '\n'.join([rule, lines[0], rule, *lines[1:], rule])


def main(report: str = '') -> int:
    """Print it."""
    passed = read_report(Path(report)) if report else run_tests()
    print(table(passed))
    return 0 if all(f'{setting}-{kind}-{name}' in passed for setting, kind, name in CELLS) else 1


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
