"""The benchmarks: the notation of scenarios, the tables, and a short run of each
script.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import require_program

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
MODULES = ('chart', 'clients', 'linearity', 'peers', 'run', 'scenarios', 'tables')

#: The seconds for one run of a script.
DEADLINE = 60


@pytest.fixture(scope='module', autouse=True)
def importable() -> Iterator[None]:
    """Scripts that can import one another, as when they are run, and are unloaded
    afterwards.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield
    for name in MODULES:
        sys.modules.pop(name, None)


def load(name: str) -> Any:
    """Import one of the modules."""
    return importlib.import_module(name)


def a_run(rate: float, **more: Any) -> dict[str, Any]:
    """Return a possible result of one measurement of a second."""
    return {'messages_per_second': rate, 'messages': int(rate), 'seconds': 1.0, 'cpu_seconds': 0.5, **more}


class TestScenarios:
    @pytest.mark.parametrize(('name', 'options'), [
        ('64x16x125', ['--mode=echo', '--connections=64', '--in-flight=16', '--size=125', '--opcode=text']),
        ('4x1x1M:binary', ['--mode=echo', '--connections=4', '--in-flight=1', '--size=1048576', '--opcode=binary']),
        ('1x2x8K:deflate', ['--mode=echo', '--connections=1', '--in-flight=2', '--size=8192', '--deflate']),
        ('handshakes:9', ['--mode=handshakes', '--connections=9', '--in-flight=1', '--size=0', '--opcode=text']),
        ('broadcast:10x1K', ['--mode=broadcast', '--connections=10', '--in-flight=1', '--size=1024', '--opcode=text']),
        ('broadcast:9x2K:deflate', ['--mode=broadcast', '--connections=9', '--in-flight=1', '--size=2048', '--deflate']),
    ])
    def test_are_converted_to_options_of_the_load_generator(self, name: str, options: list[str]) -> None:
        assert load('scenarios').parse_scenario(name).options == options

    @pytest.mark.parametrize(('name', 'description'), [
        ('64x16x125', '125 B of text, 16 in flight on 64 connections'),
        ('1x1x1536K:binary', '1536 KiB of binary, 1 in flight on 1 connection'),
        ('64x1x1K:deflate', '1 KiB of deflated JSON, 1 in flight on 64 connections'),
        ('handshakes:64', 'handshakes, 64 connections at a time'),
        ('broadcast:1000x1K', '1 KiB of text to all of 1,000 connections'),
        ('broadcast:1000x1K:deflate', '1 KiB of deflated JSON to all of 1,000 connections'),
    ])
    def test_are_described_in_words(self, name: str, description: str) -> None:
        assert load('scenarios').parse_scenario(name).description == description

    @pytest.mark.parametrize('name', ['', '64x16', '64x16x125G', '64x16x125:json', 'handshakes', 'broadcast:3', 'everything'])
    def test_an_unknown_name_is_rejected_with_the_valid_ones(self, name: str) -> None:
        with pytest.raises(ValueError, match='is neither a scenario like 64x16x125, .* nor one of the groups default, small, '):
            load('scenarios').parse_scenario(name)

    def test_duplicates_in_groups_are_removed(self) -> None:
        scenarios = load('scenarios')
        names = [scenario.name for scenario in scenarios.parse_scenarios('64x16x125, default,handshakes')]
        assert names == ['64x16x125', '64x1x125', 'handshakes:64']

    def test_every_group_can_be_parsed(self) -> None:
        scenarios = load('scenarios')
        for name in scenarios.GROUPS:
            assert scenarios.parse_scenarios(name)


class TestTables:
    def test_a_summary_has_medians_and_the_median_of_the_ratios(self) -> None:
        runs = [a_run(100, latency_us={'p50': 5, 'p99': 9}), a_run(300, latency_us={'p50': 7, 'p99': 9}),
                a_run(200, latency_us={'p50': 6, 'p99': 1})]
        summary = load('tables').summarize(runs, [a_run(100), a_run(100), a_run(400)], 'messages')
        assert summary == {'rate': 200, 'lowest': 100, 'highest': 300, 'ratio': 1.0, 'cpu': 0.5, 'cpu_us': 2500.0,
                           'p50_us': 6, 'p99_us': 9}

    def test_a_failed_run_leaves_no_summary(self) -> None:
        tables = load('tables')
        assert tables.summarize([a_run(100), {'failure': 'gone'}], [], 'messages') is None
        assert tables.summarize([], [], 'messages') is None

    def test_the_baseline_is_picows_unless_it_failed(self) -> None:
        baseline_of = load('tables').baseline_of
        assert baseline_of({'faye': [a_run(1)], 'websockets': [a_run(1)], 'picows': [a_run(1)]}) == 'picows'
        assert baseline_of({'faye': [a_run(1)], 'websockets': [a_run(1)], 'picows': [{'failure': ''}]}) == 'websockets'
        assert baseline_of({'tornado': [{'failure': ''}], 'raw': [a_run(1)]}) == 'raw'
        assert baseline_of({'raw': []}) is None

    def test_a_scenarios_table_lists_the_fastest_first(self) -> None:
        tables, scenario = load('tables'), load('scenarios').parse_scenario('64x1x125')
        runs = {'faye': [a_run(1000, cpu_seconds=1.0)], 'picows': [a_run(2000)], 'ws': [{'failure': 'gone'}]}
        titles = {'faye': 'ours', 'picows': 'theirs', 'ws': 'another'}
        assert tables.render(scenario, titles, runs) == '\n'.join([
            '64x1x125: 125 B of text, 1 in flight on 64 connections',
            '',
            '=======  ==========  ========  ======  =======  ====  ===========',
            'peer     messages/s  x picows  lowest  highest   CPU  CPU us each',
            '=======  ==========  ========  ======  =======  ====  ===========',
            'theirs       2,000+      1.00   2,000    2,000   50%       250.00',
            'ours          1,000      0.50   1,000    1,000  100%      1000.00',
            'another      failed                                              ',
            '=======  ==========  ========  ======  =======  ====  ===========',
            '',
        ])

    def test_the_table_of_ratios_has_a_column_for_each_scenario(self) -> None:
        scenarios = [load('scenarios').parse_scenario(name) for name in ('64x1x125', '64x1x1K:deflate')]
        results = {'64x1x125': {'faye': [a_run(3)], 'picows': [a_run(2)]},
                   '64x1x1K:deflate': {'faye': [a_run(3)], 'websockets': [a_run(1)]}}
        titles = {'faye': 'ours', 'picows': 'picows', 'websockets': 'websockets'}
        assert load('tables').render_ratios(scenarios, titles, results) == '\n'.join([
            '==========  ========  ==============================',
            'peer        64x1x125  64x1x1K:deflate (x websockets)',
            '==========  ========  ==============================',
            'ours            1.50                            3.00',
            'picows          1.00                               -',
            'websockets         -                            1.00',
            '==========  ========  ==============================',
        ])

    def test_the_linearity_has_a_row_for_each_codec(self) -> None:
        result = {'codec': 'pure', 'sizes': {read: {'1K': 1.25} for read in ('64', '1K', '64K')}, 'fragments': {'16384': 2}}
        rendered = load('linearity').render([result])
        assert [line.split() for line in rendered.splitlines() if line.startswith('pure')] == [
            ['pure,', '64', '1.250'], ['pure,', '1K', '1.250'], ['pure,', '64K', '1.250'], ['pure', '2.000']]


class TestPeers:
    def test_an_unknown_peer_is_rejected_with_the_known_ones(self) -> None:
        peers = load('peers')
        with pytest.raises(peers.BenchmarkError, match="there is no peer 'nobody'; there are: faye, faye-pure, picows, "):
            peers.choose('nobody')

    def test_a_missing_peer_is_reported_with_its_installation(self, capsys: pytest.CaptureFixture[str]) -> None:
        peers = load('peers')
        missing = {'it': peers.Peer('it', 'faye.py', ('no-such-library',))}
        why = 'no-such-library not installed: pip install -r benchmarks/requirements.txt'
        assert peers.choose(None, missing) == {}
        assert capsys.readouterr().err == f'left out it: {why}\n'
        with pytest.raises(peers.BenchmarkError, match=why):
            peers.choose('it', missing)

    def test_every_peer_has_a_program(self) -> None:
        peers = load('peers')
        for peer in (*peers.PEERS.values(), *peers.CLIENTS.values()):
            assert peer.path.is_file()


class TestRunning:
    """Each script, run for a moment.

    The figures have no meaning, but all replies must have been correct.
    """

    @pytest.fixture(autouse=True)
    def programs(self) -> None:
        require_program('cc', 'apt-get install gcc libc6-dev zlib1g-dev')
        require_program('taskset', 'apt-get install util-linux')

    def run(self, script: str, *arguments: str) -> str:
        """Return the output of a script."""
        command = [sys.executable, str(BENCHMARKS / script), *arguments]
        run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=DEADLINE)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def test_servers_can_be_measured(self, tmp_path: Path) -> None:
        file = tmp_path / 'result.json'
        echoes = '2x2x125,1x1x64K:binary,2x1x1K:deflate,handshakes:2'
        timing = ('--rounds=1', '--seconds=0.1', '--warmup=0.05')
        self.run('run.py', '--peers=faye,raw', f'--scenarios={echoes}', *timing, f'--json={file}')
        result = json.loads(file.read_text())
        assert {name: set(by_peer) for name, by_peer in result['runs'].items()} == {
            name: {'faye'} if 'deflate' in name else {'faye', 'raw'} for name in echoes.split(',')}
        assert all(run['errors'] == 0 for by_peer in result['runs'].values() for (run,) in by_peer.values())
        printed = self.run('broadcast.py', '--peers=faye', '--scenarios=broadcast:3x1K,broadcast:3x1K:deflate', *timing)
        assert 'faye_websocket: its broadcast()' in printed
        assert 'faye_websocket: a loop of sends' in printed

    def test_clients_can_be_measured(self) -> None:
        timing = ('--rounds=1', '--seconds=0.5', '--warmup=0.1')
        printed = self.run('clients.py', '--clients=faye,faye-receive', '--scenarios=2x2x125,1x1x64K:binary', *timing)
        assert printed.count('faye_websocket, callbacks') == printed.count('faye_websocket, receive()') == 2

    def test_idle_cpu_can_be_measured(self) -> None:
        printed = self.run('idle_cpu.py', '--peers=faye', '--connections=5', '--ping=1', '--seconds=1')
        assert 'faye_websocket' in printed

    @pytest.fixture
    def liar(self, tmp_path: Path) -> Any:
        """A server whose replies differ from the messages sent."""
        program = tmp_path / 'liar.py'
        program.write_text((BENCHMARKS / 'servers' / 'faye.py').read_text().replace(
            'ws.send(event.data)', "ws.send(event.data[:-1] + chr(0x7f))"))
        environ = {'PYTHONPATH': f'{BENCHMARKS.parent}:{BENCHMARKS / "servers"}'}
        return load('peers').Peer('a liar', str(program), environ=environ)

    @pytest.mark.parametrize(('scenario', 'failure'), [
        ('1x1x125', 'wrong payload of a reply: byte 124 is 0x7f'),
        ('1x1x1K:deflate', 'a reply of 1024 bytes is not what was sent'),
    ])
    def test_a_servers_wrong_reply_is_a_failure(self, liar: Any, scenario: str, failure: str) -> None:
        load('peers').compile_c(BENCHMARKS / 'load.c')
        result = load('run').measure(liar, load('scenarios').parse_scenario(scenario), 0.1, 0.05)
        assert failure in result['failure']

    def test_a_wrong_reply_to_a_client_is_a_failure(self, liar: Any) -> None:
        peers, scenario = load('peers'), load('scenarios').parse_scenario('1x1x125')
        with peers.Server(liar) as server:
            for name in ('faye', 'faye-receive'):
                result = load('clients').measure(peers.CLIENTS[name], server, scenario, 0.1, 0.1)
                assert 'a reply is not what was sent' in result['failure']

    def test_a_chart_shows_the_ratios(self, tmp_path: Path) -> None:
        summaries = {'64x1x125': {'faye': {'ratio': 1.25}, 'picows': {'ratio': 1.0}, 'raw': {'ratio': 16.0}, 'ws': None}}
        titles = {'faye': 'ours', 'picows': 'theirs', 'raw': 'the limit', 'ws': 'another'}
        load('chart').draw(summaries, titles, tmp_path / 'chart.svg')
        chart = (tmp_path / 'chart.svg').read_text()
        for text in ('ours', '1.25', '16.00', '125 B of text, 1 in flight on 64 connections', 'multiples of theirs'):
            assert f'>{text}</text>' in chart
        assert 'another' not in chart
