"""Channels on Redis: their keys, their cost, and the loss of Redis."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from faye_websocket.channels import Channels
from tests.support.channels import RedisServer, Visitor, Wire, running_redis
from tests.support.local import run_threads, settle, wait_until
from tests.support.processes import ROOT, environment
from tests.support.waiting import until_in_time
from tests.unit.channels.conftest import patch

Visit = Callable[..., Visitor]
Make = Callable[..., Channels]


@pytest.fixture(params=[pytest.param('threads', marks=pytest.mark.threads), 'greenlets'], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way in which calls run: in native threads, or in patched greenlets."""
    if request.param == 'greenlets':
        patch(monkeypatch)


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    """The URL of a Redis, as the only kind of backend."""
    redis_server.command('FLUSHALL')
    return redis_server.url


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A Redis server that may be stopped."""
    with running_redis() as server:
        yield server


@pytest.fixture
def own(own_server: RedisServer) -> Iterator[Channels]:
    """Channels on this server."""
    channels = Channels(own_server.url, timeout=20)
    yield channels
    channels.close()


class TestKeys:
    """The keys in Redis."""

    @pytest.mark.proves('R10')
    def test_every_key_expires(self, channels: Channels, redis_server: RedisServer, visit: Visit) -> None:
        channels.join(visit().open().socket, 'room', name='anna')
        channels.publish('room', 'x')
        channels.publish('room', 'x', key='k')
        keys = redis_server.command('KEYS', '*')
        assert len(keys) >= 5
        assert all(redis_server.command('TTL', key) > 0 for key in keys)
        assert 86_000 < redis_server.command('TTL', 'faye:{room}:key:k') <= 86_400

    @pytest.mark.proves('R10')
    def test_every_key_begins_with_the_prefix(self, make: Make, redis_server: RedisServer, visit: Visit) -> None:
        mine, others = make(prefix='a:'), make(prefix='')
        visitor = visit().open()
        others.join(visitor.socket, 'room', name='x')
        mine.publish('room', 'x')
        keys = redis_server.command('KEYS', '*')
        assert {key[:2] for key in keys} == {'a:', '{r', 'wo'}
        settle()
        visitor.wait()

    @pytest.mark.proves('R10')
    @pytest.mark.parametrize(('history', 'most'), [(0, 0), (1, 1), (9, 9), (100, 110), (1000, 1100)])
    def test_the_history_is_bounded(self, make: Make, redis_server: RedisServer, history: int, most: int) -> None:
        channels = make(history=history)
        for number in range(most + 20):
            channels.publish('room', str(number))
        assert history <= redis_server.command('XLEN', 'faye:{room}:log') <= most

    @pytest.mark.proves('R9')
    def test_an_id_from_a_client_is_not_executed_as_a_command(
            self, channels: Channels, redis_server: RedisServer, visit: Visit) -> None:
        channels.publish('room', 'kept')
        for since in ['1-1\r\nFLUSHALL\r\n', "1'] redis.call('FLUSHALL') --", '0-0 COUNT 1']:
            channels.join(visit().open().socket, 'room', since=since)
        assert redis_server.command('XLEN', 'faye:{room}:log') == 1


class TestConnections:
    """The connections to Redis, of which a process has a few."""

    def clients(self, server: RedisServer, kind: str) -> int:
        return len(server.command('CLIENT', 'LIST', 'TYPE', kind).splitlines())

    @pytest.mark.proves('X1', 'R11')
    def test_one_connection_listens_until_the_last_socket_leaves(
            self, channels: Channels, redis_server: RedisServer, visit: Visit) -> None:
        before = self.clients(redis_server, 'pubsub')
        visitors = [visit().open() for _ in range(20)]
        for number, visitor in enumerate(visitors):
            channels.join(visitor.socket, f'room/{number % 7}')
            channels.join(visitor.socket, 'all')
        assert self.clients(redis_server, 'pubsub') == before + 1
        assert self.clients(redis_server, 'normal') <= 6
        for visitor in visitors:
            visitor.leave()
        wait_until(lambda: self.clients(redis_server, 'pubsub') == before)

    @pytest.mark.proves('R11')
    def test_each_message_is_sent_to_a_process_once(self, redis_server: RedisServer, visit: Visit) -> None:
        wire = Wire(redis_server.port)
        channels = Channels(wire.url)
        visitors = [visit().open() for _ in range(50)]
        for visitor in visitors:
            channels.join(visitor.socket, 'room')
        before = wire.bytes_back
        Channels(redis_server.url).publish('room', 'x' * 100_000)
        wait_until(lambda: all(len(visitor.received) > 100_000 for visitor in visitors))
        assert 100_000 < wire.bytes_back - before < 110_000
        channels.close()
        wire.close()

    def test_connects_to_a_unix_socket(self, redis_server: RedisServer, visit: Visit) -> None:
        channels = Channels(f'unix://{redis_server.path}')
        visitor = visit().open()
        channels.join(visitor.socket, 'unix')
        channels.publish('unix', 'x')
        visitor.wait('x')
        channels.close()

    def test_a_wrong_password_raises_at_once(self, redis_server: RedisServer) -> None:
        import redis

        channels = Channels(f'redis://user:wrong@127.0.0.1:{redis_server.port}', timeout=20)
        began = time.monotonic()
        with pytest.raises(redis.AuthenticationError):
            channels.publish('room', 'x')
        assert time.monotonic() - began < 5

    def test_a_missing_password_raises_one_error_for_every_call(self, own_server: RedisServer) -> None:
        import redis

        own_server.command('CONFIG', 'SET', 'requirepass', 'secret')
        channels = Channels(own_server.url, timeout=20)
        for call in (lambda: channels.publish('room', 'x'), lambda: channels.members('room')):
            with pytest.raises(redis.AuthenticationError):
                call()

    @pytest.mark.parametrize('scheme', ['redis', 'redis+cluster'])
    def test_an_unknown_option_in_the_url_raises(self, scheme: str) -> None:
        with pytest.raises(ValueError, match=r'url: .*foo'):
            Channels(f'{scheme}://localhost?foo=1')


class TestOutages:
    """Channels while Redis is not reachable."""

    @pytest.mark.proves('R12')
    def test_calls_raise_after_their_timeout(self, visit: Visit) -> None:
        channels = Channels('redis://127.0.0.1:1', timeout=0.3)
        socket = visit().open().socket
        for call in (lambda: channels.publish('room', 'x'), lambda: channels.members('room'),
                     lambda: channels.join(socket, 'room'), lambda: channels.publish('room', 'x', timeout=0.3)):
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                call()
            assert 0.2 < time.monotonic() - began < 3
        channels.leave(socket, 'room')
        with pytest.raises(TimeoutError):
            channels.publish('room', 'x', timeout=0)
        channels.close()

    @pytest.mark.proves('X1', 'R12')
    @pytest.mark.parametrize('how', [signal.SIGTERM, signal.SIGKILL])
    def test_no_message_is_lost_when_redis_restarts(
            self, own: Channels, own_server: RedisServer, visit: Visit, how: int) -> None:
        lost: list[Any] = []
        own.onlost = lambda *arguments: lost.append(arguments)
        visitors = [visit(source=number % 2 == 1).open() for number in range(4)]
        for visitor in visitors:
            own.join(visitor.socket, 'room')
        sent = [str(number) for number in range(20)]
        for text in sent[:10]:
            own.publish('room', text)
        own_server.end(how)
        writers = [gevent.spawn(own.publish, 'room', sent[10])]
        settle()
        own_server.start()
        gevent.joinall(writers, raise_error=True)
        for text in sent[11:]:
            own.publish('room', text)
        for visitor in visitors:
            visitor.wait(*sent)
        assert lost == []

    @pytest.mark.proves('R12')
    def test_messages_published_during_an_outage_are_delivered_after_it(self, own_server: RedisServer, visit: Visit) -> None:
        wire = Wire(own_server.port)
        channels, others = Channels(wire.url, timeout=20), Channels(own_server.url)
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        others.publish('room', 'one')
        visitor.wait('one')
        wire.end()
        for text in ('two', 'three'):
            others.publish('room', text)
        wire.begin()
        visitor.wait('one', 'two', 'three')
        others.publish('room', 'four')
        visitor.wait('one', 'two', 'three', 'four')
        channels.close()
        others.close()
        wire.close()

    @pytest.mark.proves('R12')
    def test_a_cut_network_connection_is_detected(self, own_server: RedisServer, visit: Visit) -> None:
        wire = Wire(own_server.port)
        channels, others = Channels(wire.url, timeout=1), Channels(own_server.url)
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        wire.is_cut = True
        others.publish('room', 'one')
        with pytest.raises(TimeoutError):
            channels.publish('room', 'perhaps')
        with pytest.raises(TimeoutError):
            channels.join(visit().open().socket, 'room')
        # The old connections stay cut, but new ones are not.
        wire.heal()
        wait_until(lambda: visitor.messages[:1] == ['one'], deadline=30)
        others.publish('room', 'two')
        wait_until(lambda: visitor.messages[-1] == 'two')
        assert visitor.messages in (['one', 'two'], ['one', 'perhaps', 'two'])
        channels.close()
        others.close()
        wire.close()

    @pytest.mark.proves('R4')
    def test_a_lost_reply_does_not_publish_the_message_twice(self, own_server: RedisServer, visit: Visit) -> None:
        wire = Wire(own_server.port)
        channels, others = Channels(wire.url, timeout=20), Channels(own_server.url)
        visitor = visit().open()
        others.join(visitor.socket, 'room')
        channels.publish('room', 'one')
        wire.drops_answers = True
        writer = gevent.spawn(channels.publish, 'room', 'two')
        wait_until(lambda: visitor.messages == ['one', 'two'])
        wire.drops_answers = False
        wire.end()
        wire.begin()
        id = writer.get(timeout=20)
        assert others.publish('room', 'three') != id
        visitor.wait('one', 'two', 'three')
        channels.close()
        others.close()
        wire.close()

    @pytest.mark.proves('R3')
    def test_lost_data_is_reported_once(self, channels: Channels, redis_server: RedisServer, visit: Visit) -> None:
        lost: list[Any] = []
        channels.onlost = lambda target, channel: lost.append(target)
        live, source = visit().open(), visit(source=True).open()
        got: list[Any] = []
        for visitor in (live, source):
            channels.join(visitor.socket, 'room')
        subscription = channels.subscribe('room', lambda *arguments: got.append(arguments[2]))
        id = channels.publish('room', 'old')
        live.wait('old')
        redis_server.command('FLUSHALL')
        channels.publish('room', 'new')
        channels.publish('room', 'newer')
        for visitor in (live, source):
            visitor.wait('old', 'new', 'newer')
        wait_until(lambda: got == ['old', 'new', 'newer'])
        assert sorted(map(id_of, lost)) == sorted(map(id_of, [live.socket, source.socket, subscription]))
        back = visit().open()
        channels.join(back.socket, 'room', since=id)
        back.wait('new', 'newer')
        assert lost[-1] is back.socket
        subscription.close()

    @pytest.mark.proves('R7')
    def test_members_are_restored_after_a_loss_of_data(
            self, channels: Channels, redis_server: RedisServer, visit: Visit) -> None:
        channels.join(visit().open().socket, 'room', name='anna')
        redis_server.command('FLUSHALL')
        wait_until(lambda: channels.members('room') == ['anna'])

    @pytest.mark.proves('R12')
    def test_leave_never_blocks(self, own: Channels, own_server: RedisServer, visit: Visit) -> None:
        visitor = visit().open()
        own.join(visitor.socket, 'room', name='anna')
        own_server.pause()
        began = time.monotonic()
        own.leave(visitor.socket, 'room')
        assert time.monotonic() - began < 1
        own_server.go_on()
        wait_until(lambda: own.members('room') == [])


class TestPrograms:
    """Programs without sockets, without a hub, or without redis-py."""

    SCRIPT = """
import sys
{patch}
from faye_websocket.channels import Channels
channels = Channels(sys.argv[1])
{body}
"""

    def run(self, url: str, body: str, patch: str = '') -> str:
        script = self.SCRIPT.format(body=body, patch=patch)
        done = gevent.subprocess.run(
            [sys.executable, '-c', script, url], cwd=ROOT,
            env=environment({'PYTHONWARNINGS': 'ignore:This process'}), timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (0, '')
        return str(done.stdout)

    @pytest.mark.proves('R6')
    @pytest.mark.parametrize('patch', ['', 'from gevent import monkey; monkey.patch_all()'])
    def test_a_program_without_sockets_can_publish(self, channels: Channels, visit: Visit, patch: str) -> None:
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        self.run(channels.url, "print(channels.publish('room', 'from afar'), channels.members('room'))", patch)
        visitor.wait('from afar')

    @pytest.mark.proves('R6')
    @pytest.mark.parametrize('patch', ['', 'from gevent import monkey; monkey.patch_all()'])
    def test_no_thread_gets_a_hub_and_a_later_fork_works(self, channels: Channels, patch: str) -> None:
        body = """
import gc, logging, os, threading
import gevent
from gevent.hub import Hub
from gevent.monkey import get_original
pool = gevent.get_hub().threadpool
assert pool.apply(channels.publish, ('room', 'from the pool'))
start, lock = get_original('_thread', 'start_new_thread'), get_original('_thread', 'allocate_lock')()
lock.acquire()
start(lambda: (channels.publish('room', 'from a thread'), lock.release()), ())
while not lock.acquire(False):
    gevent.sleep(0.001)
got = []
subscription = channels.subscribe('room', lambda *arguments: got.append(arguments[2]), recent=9)
while len(got) < 2:
    gevent.sleep(0.001)
hubs = [each for each in gc.get_objects() if isinstance(each, Hub)]
assert len(hubs) == 1, hubs
pid = os.fork()
if not pid:
    # That the subscription ended is a warning.
    logging.disable()
    channels.publish('room', 'from a child')
    os._exit(7)
while True:
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        break
    gevent.sleep(0.001)
assert os.waitstatus_to_exitcode(status) == 7
while len(got) < 3:
    gevent.sleep(0.001)
print(got)
"""
        assert self.run(channels.url, body, patch) == "['from the pool', 'from a thread', 'from a child']\n"

    @pytest.mark.proves('R6')
    def test_the_first_use_imports_nothing_so_that_another_thread_may_fork(self, channels: Channels) -> None:
        body = """
before = set(sys.modules)
channels.publish('room', 'x')
print(channels.members('room'), set(sys.modules) - before)
"""
        assert self.run(channels.url, body) == '[] set()\n'

    def test_a_missing_redis_py_is_reported(self) -> None:
        body = """
sys.modules['redis'] = None
try:
    Channels('redis://localhost')
except ImportError as error:
    print(error)
"""
        assert self.run('memory://', body) == 'channels on Redis need redis-py: pip install "faye-websocket[redis]"\n'

    @pytest.mark.proves('R7')
    def test_members_of_a_killed_process_disappear_within_ten_seconds(self, channels: Channels, visit: Visit) -> None:
        told: list[Any] = []
        channels.onmembers = lambda channel, names: told.append(names)
        channels.join(visit().open().socket, 'room', name='anna')
        script = self.SCRIPT.format(patch='', body="""
import gevent
from tests.support.channels import Visitor
visitor = Visitor().open()
channels.join(visitor.socket, 'room', name='bob')
gevent.sleep(60)
""")
        process = subprocess.Popen([sys.executable, '-c', script, channels.url], cwd=ROOT, env=environment())
        try:
            wait_until(lambda: told and told[-1] == ['anna', 'bob'], deadline=60)
            assert channels.members('room') == ['anna', 'bob']
        finally:
            process.kill()
            process.wait()
        began = time.monotonic()
        wait_until(lambda: told[-1] == ['anna'], deadline=15)
        assert time.monotonic() - began < 10
        assert channels.members('room') == ['anna']

    @pytest.mark.proves('R7')
    def test_members_of_a_process_that_exits_disappear_at_once(self, channels: Channels) -> None:
        def measure() -> float:
            self.run(channels.url, """
from tests.support.channels import Visitor
visitor = Visitor().open()
channels.join(visitor.socket, 'room', name='bob')
print(channels.members('room'))
visitor.client.close()
visitor._sock.close()
""")
            began = time.monotonic()
            wait_until(lambda: channels.members('room') == [])
            return time.monotonic() - began

        assert until_in_time(measure, lambda seconds: seconds < 3) < 3


class TestThreads:
    """Concurrent calls from threads."""

    @pytest.mark.proves('R6')
    def test_threads_may_join_and_leave_concurrently(self, channels: Channels, visit: Visit) -> None:
        visitors = [visit().open() for _ in range(8)]

        def come_and_go(visitor: Visitor) -> None:
            for number in range(10):
                channels.join(visitor.socket, 'room', name=f'{number}')
                channels.leave(visitor.socket, 'room')
            channels.join(visitor.socket, 'room', name='end')

        run_threads(*(lambda visitor=visitor: come_and_go(visitor) for visitor in visitors))  # type: ignore[misc]
        wait_until(lambda: channels.members('room') == ['end'])
        channels.publish('room', 'x')
        for visitor in visitors:
            visitor.wait('x')


def id_of(target: object) -> int:
    return id(target)
