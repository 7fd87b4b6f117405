"""What a peer can make us hold for what it sends: some of the ways of ``tools/amplification.py``, for a moment."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.processes import ROOT, environment

WAYS = ('two bytes to a handler', 'of hixie-76', '1 MiB to a handler')


def amplification(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A run of the program."""
    command = [sys.executable, str(ROOT / 'tools' / 'amplification.py'), '--quick', *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=110)


@pytest.mark.proves('O6', 'O7', 'S4', 'S9')
def test_nothing_is_held_twenty_times_over() -> None:
    run = amplification('--most', '20', *(argument for way in WAYS for argument in ('--only', way)))
    print(run.stdout)
    assert run.returncode == 0, run.stderr
    assert all(way in run.stdout for way in WAYS)


def test_what_is_more_is_told() -> None:
    run = amplification('--most', '0.01', '--only', '90 long headers')
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == 'more than 0.01 times what was sent: a handshake with 90 long headers'
