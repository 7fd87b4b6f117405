"""Run the soak, sample it, and judge it.

    python -m tests.soak --minutes 30 --connections 2000 --out DIR

One process serves (``tests.soak.server``); this one holds the connections. Every second
both are sampled: resident memory, the blocks that Python has allocated, descriptors,
greenlets, gevent's watchers and timers. At the end all connections are closed. The
server must then hold no more than after its first connection, which was made for this
comparison.

DIR gets ``soak.json`` and ``soak.svg``. The exit status is 0 if every check passes.
"""

from __future__ import annotations

from collections.abc import Sequence

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gevent

from faye_websocket import Client
from faye_websocket.io.stream import LINGER
from tests.soak.chart import Panel, draw
from tests.soak.ledger import Ledger
from tests.soak.sessions import PATIENCE, SESSIONS, Session, User
from tests.soak.verdict import Trend, find_trend
from tests.support.certificates import session_certificate
from tests.support.holdings import count_living, difference
from tests.support.processes import ROOT, Endpoint, environment
from tests.support.wire import RawClient

#: By sample: the share of its mean by which it may have grown at the end. All samples
#: must be flat.
BOUNDS = {'rss': 0.05, 'blocks': 0.05, 'descriptors': 0.05, 'greenlets': 0.05, 'watchers': 0.05, 'timers': 0.05}

#: The limits for a run of fewer seconds than SHORT, in which chance has an influence:
#: it shows faults and large leaks.
SHORT_BOUNDS = dict.fromkeys(BOUNDS, 0.25)
SHORT = 600.0

#: The share of a run that is not judged: connections are still opened, and the pools of
#: the allocator filled.
WARM_UP, SHORT_WARM_UP = 0.33, 0.5

#: The seconds at the end for everything to be closed: a server gives a peer up after a
#: ping, its timeout and a close.
AFTERMATH = 90.0


class Soak:
    """A run with its users and its samples."""

    def __init__(self, servers: list[Endpoint], pid: int, options: argparse.Namespace) -> None:
        self.servers = servers
        self.pid = pid
        self.options = options
        self.seconds = options.minutes * 60
        self.ledger = Ledger()
        self.sessions = dict.fromkeys(SESSIONS, 0)
        self.failures: list[str] = []
        self.failed = 0
        self.samples: list[dict[str, Any]] = []
        self.began = time.monotonic()
        self.is_over = False

    def run(self) -> None:
        """Let all users connect and disconnect, and take a sample every second."""
        pace = min(self.options.connections / 50, self.seconds * WARM_UP / 2)
        users = [gevent.spawn_later(pace * number / self.options.connections, self.be_a_user, number)
                 for number in range(self.options.connections)]
        while time.monotonic() - self.began < self.seconds:
            self.sample()
            gevent.sleep(1)
        self.is_over = True
        gevent.joinall(users, timeout=PATIENCE)
        gevent.killall(users)

    def be_a_user(self, number: int) -> None:
        """Run one session after another."""
        user = User(self.servers, self.ledger, number, self.options.lifetime)
        while not self.is_over:
            [session] = user.random.choices([*SESSIONS], [*SESSIONS.values()])
            self.sessions[session] += 1
            # At the end all sessions are killed at once, wherever they are; this is
            # part of the test.
            worker = gevent.spawn(self.attempt, session, user)
            while not worker.ready():
                worker.join(1)
                if self.is_over:
                    worker.kill()

    def attempt(self, session: Session, user: User) -> None:
        """Run one session, and record its failure."""
        try:
            session(user)
        except Exception as error:
            self.failed += 1
            if len(self.failures) < 20:
                self.failures.append(f'{session.__name__}: {error!r}')

    def sample(self) -> None:
        """Take a sample of both processes."""
        stats = fetch_stats(self.servers[0])
        server = {'rss': read_rss(self.pid), 'blocks': stats['blocks'], **stats['census']}
        load = {'rss': read_rss(os.getpid()), 'blocks': sys.getallocatedblocks(), **count_living()}
        self.samples.append({
            'second': time.monotonic() - self.began, 'server': server, 'load': load,
            'messages': stats['ledger']['events'].get('message', 0), 'made': stats['ledger']['made']})


def fetch_stats(server: Endpoint, query: str = '') -> dict[str, Any]:
    """Return the server's report."""
    with RawClient(server, f'/-/stats{query}', [('Connection', 'close')], deadline=PATIENCE) as client:
        client.handshake()
        return json.loads(client.read_to_eof())


def read_rss(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    return int(re.findall(r'VmRSS:\s+(\d+) kB', Path(f'/proc/{pid}/status').read_text())[0]) * 1024


def find_trends(samples: list[dict[str, Any]], warm_up: float) -> dict[str, Trend]:
    """Return the trend of every figure after the warm-up."""
    judged = [sample for sample in samples if sample['second'] >= warm_up]
    seconds = [sample['second'] for sample in judged]
    return {f'{process} {name}': find_trend(seconds, [sample[process][name] for sample in judged])
            for process in ('server', 'load') for name in BOUNDS}


def judge(soak: Soak, before: dict[str, Any], after: dict[str, Any], stderr: str) -> dict[str, Any]:
    """Return all checks with their figures."""
    is_short = soak.seconds < SHORT
    bounds = SHORT_BOUNDS if is_short else BOUNDS
    trends = find_trends(soak.samples, soak.seconds * (SHORT_WARM_UP if is_short else WARM_UP))
    served, used = after['ledger'], soak.ledger.summary()
    left = find_rest(before, after)
    checks = {f'{name} is flat': trend.is_flat(bounds[name.partition(' ')[2]]) for name, trend in trends.items()}
    errors = served['events'].get('error', 0)
    checks |= {
        'every socket of the server had one close event': served['made'] == served['closed'] and not served['closed_again'],
        'every client had one close event': used['made'] == used['closed'] and not used['closed_again'],
        'nothing of any connection is left in the server': left == {},
        'the server logged nothing but the faults that were injected': after['unexpected'] == [] and stderr == '',
        'every fault of a handler was logged once': after['on_purpose'] == errors - count_errors(served),
        'every slow consumer was logged once': after['slow'] == served['codes'].get('1013', 0),
        'every session went as it should': soak.failed == 0}
    return {
        'checks': checks, 'is_good': all(checks.values()),
        'trends': {name: {'mean': round(trend.mean), 'growth': round(trend.growth)} for name, trend in trends.items()},
        'left': left, 'server': served, 'clients': used, 'faults logged': after['on_purpose'],
        'unexpected': after['unexpected'], 'stderr': stderr[-2000:], 'failed': soak.failed, 'failures': soak.failures,
        'sessions': {session.__name__: count for session, count in soak.sessions.items()},
        'seconds': soak.seconds, 'connections': soak.options.connections, 'python': sys.version.split()[0]}


def find_rest(before: dict[str, Any], after: dict[str, Any]) -> dict[str, int]:
    """Return the objects of which the server holds more than before."""
    return {name: count for name, count in difference(before['census'], after['census']).items() if count > 0}


def count_errors(served: dict[str, Any]) -> int:
    """Count the errors that are faults of peers: one for each of these close codes."""
    return sum(served['codes'].get(code, 0) for code in ('1002', '1007', '1009'))


def write(soak: Soak, result: dict[str, Any], directory: Path) -> None:
    """Write the samples, the result and the chart."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / 'soak.json').write_text(json.dumps({**result, 'samples': soak.samples}, indent=1))
    seconds = [sample['second'] for sample in soak.samples]

    def lines(name: str, scale: float = 1) -> dict[str, Sequence[float]]:
        return {process: [sample[process][name] / scale for sample in soak.samples] for process in ('server', 'load')}

    panels = [
        Panel('resident memory, MiB', lines('rss', 2**20)),
        Panel('blocks allocated by Python, thousands', lines('blocks', 1000)),
        Panel('descriptors', lines('descriptors')), Panel('greenlets', lines('greenlets')),
        Panel("gevent's watchers, without timers", lines('watchers')), Panel('timers', lines('timers')),
        Panel('sockets made so far', {'server': [sample['made'] for sample in soak.samples]})]
    title = f'{soak.options.connections:,} connections coming and going for {soak.options.minutes:g} minutes'
    (directory / 'soak.svg').write_text(draw(title, seconds, panels))


def wait_for_nothing(server: Endpoint, before: dict[str, Any]) -> dict[str, Any]:
    """Return the server's report once it holds nothing more, or when the time is over.
    """
    end = time.monotonic() + AFTERMATH
    while True:
        stats = fetch_stats(server, '?census')
        if time.monotonic() > end or (stats['ledger']['open'] == 0 and not find_rest(before, stats)):
            return stats
        gevent.sleep(1)


def main() -> int:
    """Run the soak, and return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m tests.soak', description=__doc__.partition('\n')[0])
    parser.add_argument('--minutes', type=float, default=30)
    parser.add_argument('--connections', type=int, default=2000)
    parser.add_argument(
        '--lifetime', type=float, default=60,
        help='the mean duration of a connection in seconds; default %(default)s')
    parser.add_argument('--loop', help="the server's event loop: libev-cext (gevent's default) or libuv-cffi")
    parser.add_argument('--out', type=Path, default=Path('soak'))
    options = parser.parse_args()
    certificate = session_certificate()
    command = [sys.executable, '-m', 'tests.soak.server', certificate.certfile, certificate.keyfile]
    options.out.mkdir(parents=True, exist_ok=True)
    errors = options.out / 'server.stderr'
    env = environment({'GEVENT_LOOP': options.loop} if options.loop else None)
    with errors.open('wb') as stderr, subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE,
                                                       stderr=stderr) as popen:
        try:
            assert popen.stdout is not None
            plain, secure = json.loads(popen.stdout.readline())
            servers = [Endpoint(('127.0.0.1', plain)), Endpoint(('127.0.0.1', secure), certificate)]
            fetch_stats(servers[1], '?census')
            # The first socket makes a reactor, with a watcher that stays for all later
            # ones.
            with Client(f'ws://127.0.0.1:{plain}/') as first:
                first.send('hello')
                first.receive(timeout=10)
            gevent.sleep(LINGER + 1)
            before = fetch_stats(servers[0], '?census')
            soak = Soak(servers, popen.pid, options)
            soak.run()
            after = wait_for_nothing(servers[0], before)
        finally:
            popen.terminate()
    result = judge(soak, before, after, errors.read_text())
    write(soak, result, options.out)
    print(json.dumps({name: value for name, value in result.items() if name != 'samples'}, indent=1))
    return 0 if result['is_good'] else 1


if __name__ == '__main__':
    sys.exit(main())
