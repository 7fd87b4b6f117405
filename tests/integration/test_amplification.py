"""Memory that a peer can make a server hold, compared with the bytes that it sends.

These tests run some of the attacks of ``tools/amplification.py`` for a short time.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.processes import ROOT, environment

WAYS = ('two bytes to a handler', 'of hixie-76', '1 MiB to a handler')


def amplification(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program, and return its result."""
    command = [sys.executable, str(ROOT / 'tools' / 'amplification.py'), '--quick', *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=110)


@pytest.mark.proves('O6', 'O7', 'S4', 'S9')
def test_no_attack_holds_twenty_times_what_it_sends() -> None:
    run = amplification('--most', '20', *(argument for way in WAYS for argument in ('--only', way)))
    print(run.stdout)
    assert run.returncode == 0, run.stderr
    assert all(way in run.stdout for way in WAYS)


def test_an_attack_over_the_bound_is_reported() -> None:
    run = amplification('--most', '0.01', '--only', '90 long headers')
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == 'more than 0.01 times what was sent: a handshake with 90 long headers'
