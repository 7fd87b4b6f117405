"""Print each case of the specs of faye-websocket-ruby and websocket-driver-ruby.

    python -m tools.ruby_specs

Each case is shown with the result of the test of ours that has it, which is run now,
and what is different on purpose. The exit status is 0 if all of these tests pass.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.processes import ROOT
from tools.old_suites import run_tests

TESTS = [f'tests/unit/compat/test_ruby_{name}_spec.py' for name in ('client', 'driver')]

#: Blocks: a line with a place in Ruby's specs and the test of ours, and the cases that
#: it has, with what is different in parentheses. Those of ``Client`` run in six
#: settings, and those of "both drafts" in two.
CASES = Path(__file__).with_suffix('.txt')


def main() -> int:
    """Run the tests, and print each case of Ruby's."""
    with TemporaryDirectory() as directory:
        results = run_tests(TESTS, ROOT, Path(directory))
    blocks = [block.splitlines() for block in CASES.read_text().split('\n\n')]
    return max(show(heading, cases, results) for heading, *cases in blocks)


def show(heading: str, cases: list[str], results: dict[str, bool]) -> int:
    """Print the cases of a block, and return 1 if its test has failed."""
    place, test = heading.split(': test_')
    spec = 'ruby_client_spec' if place.startswith('Client') else 'ruby_driver_spec'
    has_passed = results.get(f'{spec}.test_{test}', False)
    for case in cases:
        print('passes' if has_passed else 'FAILS ', f'{place}: {case.strip()}')
    return int(not has_passed)


if __name__ == '__main__':
    sys.exit(main())
