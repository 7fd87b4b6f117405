"""The short form of the soak, which takes a minute, and the analysis of a long one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.soak.chart import Panel, draw
from tests.soak.verdict import find_trend
from tests.support.processes import ROOT, environment

#: Seconds for the run, for the end of all clients, and for delays of a busy machine.
PATIENCE = 240.0


@pytest.mark.proves('L2', 'H9')
@pytest.mark.soak
@pytest.mark.skipif('FAYE_TEST_SOAK' not in os.environ, reason='FAYE_TEST_SOAK=1 runs it; it wants the machine for itself')
def test_a_minute_leaves_nothing_and_every_close_event_comes_once(tmp_path: Path) -> None:
    options = ['--minutes', '1', '--connections', '150', '--lifetime', '5', '--out', str(tmp_path)]
    command = [sys.executable, '-m', 'tests.soak', *options]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=PATIENCE)
    written = tmp_path / 'soak.json'
    result = json.loads(written.read_text()) if written.exists() else {}
    assert done.returncode == 0, f'{result.get("checks")} {result.get("failures")}\n{done.stderr[-3000:]}'
    assert result['server']['made'] > 300
    assert all(result['sessions'].values())


class TestTrend:
    """The trend line through the samples."""

    @pytest.mark.parametrize(('values', 'growth'), [([5, 5, 5, 5], 0), ([0, 10, 20, 30], 30), ([30, 20, 10, 0], -30)])
    def test_returns_the_rise(self, values: list[float], growth: float) -> None:
        assert find_trend([0, 1, 2, 3], values).growth == pytest.approx(growth)

    @pytest.mark.parametrize(('last', 'is_flat'), [(1000, True), (1049, True), (1053, False), (900, True)])
    def test_is_flat_up_to_a_bound(self, last: float, is_flat: bool) -> None:
        seconds = list(range(101))
        assert find_trend(seconds, [1000 + (last - 1000) * second / 100 for second in seconds]).is_flat(0.05) == is_flat

    def test_sees_a_leak_below_much_noise(self) -> None:
        seconds = list(range(1000))
        values = [1000 + 200 * (second * 7919 % 101 / 50 - 1) + second * 0.2 for second in seconds]
        assert not find_trend(seconds, values).is_flat(0.05)


def test_the_chart_is_an_image_with_a_line_for_each_process() -> None:
    panels = [Panel('memory & more', {'server': [1, 2, 3], 'load': [0, 0, 0]}), Panel('nothing', {'server': [0, 0, 0]})]
    tree = ElementTree.fromstring(draw('a <run>', [0, 60, 120], panels))
    assert [element.tag.rpartition('}')[2] for element in tree].count('polyline') == 3
