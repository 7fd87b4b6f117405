"""The race to the first reachable address, over several loopback addresses."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import gevent
import pytest
from gevent import socket

from faye_websocket import Client
from faye_websocket.io.race import Race, interleave
from tests.support.local import full_listener, hub_errors, settle
from tests.support.local import wait_until as until
from tests.support.scripted import accepting, answering, scripted, tunnelling
from tests.support.waiting import until_in_time

#: Seconds between two attempts.
DELAY = 0.25
REFUSED = '[Errno 111] Connection refused'

GOOD, DEAD, DEAD_TOO, REFUSING, REFUSING_TOO = (f'127.0.0.{number}' for number in (1, 2, 3, 4, 5))


def address(host: str, port: int, family: int = socket.AF_INET) -> Any:
    """Return an address in the form of getaddrinfo."""
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, '', (host, port)


@contextmanager
def network() -> Iterator[int]:
    """Yield a port on which `GOOD` listens, and `DEAD` does not respond."""
    with socket.socket() as listener, ExitStack() as stack:
        listener.bind((GOOD, 0))
        listener.listen()
        port = listener.getsockname()[1]
        for host in (DEAD, DEAD_TOO):
            stack.enter_context(full_listener(host, port))
        yield port


def descriptors() -> int:
    """Return the number of descriptors of this process."""
    return len(os.listdir('/proc/self/fd'))


def run(port: int, *hosts: str, timeout: float = 30) -> tuple[str, float]:
    """Return the host of the new connection, and the seconds that it took."""
    start = time.monotonic()
    sock = Race([address(host, port) for host in hosts], timeout).run()
    seconds = time.monotonic() - start
    with sock:
        assert sock.gettimeout() is None
        return sock.getpeername()[0], seconds


class TestRace:
    @pytest.mark.proves('K10')
    @pytest.mark.parametrize(('hosts', 'delays'), [
        ([GOOD], 0), ([GOOD, DEAD], 0), ([REFUSING, GOOD], 0), ([REFUSING, REFUSING_TOO, GOOD, DEAD], 0),
        ([DEAD, GOOD], 1), ([DEAD, DEAD_TOO, GOOD], 2), ([DEAD, REFUSING, GOOD], 1), ([DEAD, REFUSING, DEAD_TOO, GOOD], 2)])
    def test_is_won_by_the_first_that_connects(self, hosts: list[str], delays: int) -> None:
        with network() as port:
            before = descriptors()
            host, seconds = until_in_time(lambda: run(port, *hosts), lambda result: result[1] < (delays + 0.8) * DELAY)
            assert (host, descriptors()) == (GOOD, before)
            assert delays * DELAY <= seconds < (delays + 0.8) * DELAY

    @pytest.mark.proves('K10')
    def test_may_be_won_by_an_address_that_was_slow(self) -> None:
        with network() as port, socket.socket() as listener:
            listener.bind((REFUSING, port))
            listener.listen(0)
            waiting = [socket.socket() for _ in range(2)]
            for sock in waiting:
                sock.setblocking(False)
                sock.connect_ex((REFUSING, port))
            race = gevent.spawn(run, port, REFUSING, DEAD, DEAD_TOO)
            gevent.sleep(2.5 * DELAY)
            for sock in waiting:
                listener.accept()[0].close()
                sock.close()
            host, seconds = race.get(timeout=10)
            assert host == REFUSING
            assert seconds > 2 * DELAY

    @pytest.mark.proves('K3', 'K10')
    def test_gives_each_address_a_share_of_a_short_time(self) -> None:
        with network() as port:
            host, seconds = until_in_time(
                lambda: run(port, DEAD, DEAD_TOO, GOOD, timeout=0.15), lambda result: result[1] < 0.15)
            assert host == GOOD
            assert 0.1 <= seconds < 0.15

    @pytest.mark.proves('K2')
    def test_is_lost_when_all_refuse(self) -> None:
        with network() as port:
            before = descriptors()
            with pytest.raises(OSError) as raised:
                run(port, REFUSING, REFUSING_TOO)
            assert str(raised.value) == f'{REFUSING}: {REFUSED}; {REFUSING_TOO}: {REFUSED}'
            assert descriptors() == before

    def test_is_lost_without_addresses(self) -> None:
        with pytest.raises(OSError, match='^$'):
            Race([], 1).run()

    def test_skips_an_address_that_the_kernel_refuses(self) -> None:
        with network() as port:
            race = Race([address('::1', port, 12345), address(GOOD, port)], 1)
            race.run().close()
            assert str(race) == '::1: [Errno 97] Address family not supported by protocol; 127.0.0.1: no answer'

    @pytest.mark.proves('K10')
    @pytest.mark.parametrize('ending', [gevent.GreenletExit(), gevent.Timeout(60), KeyError()])
    @pytest.mark.parametrize(('seconds', 'texts'), [
        (0, f'{DEAD}: no answer; {REFUSING}: not tried; {DEAD_TOO}: not tried'),
        (1.4 * DELAY, f'{DEAD}: no answer; {REFUSING}: {REFUSED}; {DEAD_TOO}: no answer')])
    def test_leaves_no_descriptor_when_it_is_ended(self, ending: BaseException, seconds: float, texts: str) -> None:
        with network() as port, hub_errors():
            before = descriptors()
            race = Race([address(host, port) for host in (DEAD, REFUSING, DEAD_TOO)], 30)
            runner = gevent.spawn(race.run)
            gevent.sleep(seconds)
            until(lambda: str(race) == texts)
            assert descriptors() > before
            runner.kill(ending)
            assert descriptors() == before

    def test_does_not_block_other_greenlets(self) -> None:
        with network() as port:
            runner, ticks = gevent.spawn(run, port, DEAD, GOOD), []
            while not runner.ready():
                ticks.append(gevent.sleep(DELAY / 20))
            assert len(ticks) > 3


@pytest.mark.proves('K10')
@pytest.mark.parametrize(('families', 'order'), [
    ('', ''), ('4', '0'), ('6644', '0213'), ('4466', '0213'), ('6664', '0312'), ('4666', '0123'), ('444', '012')])
def test_families_take_turns(families: str, order: str) -> None:
    addresses = [address(str(index), 1, int(family)) for index, family in enumerate(families)]
    assert ''.join(each[4][0] for each in interleave(addresses)) == order


class TestClient:
    @pytest.fixture(autouse=True)
    def names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Names such as `a-b-c.test`, with the addresses 127.0.0.a, 127.0.0.b and
        127.0.0.c.
        """
        resolve = socket.getaddrinfo

        def getaddrinfo(host: bytes, port: int, *arguments: Any, **options: Any) -> Any:
            if not isinstance(host, bytes) or not host.endswith(b'.test'):
                return resolve(host, port, *arguments, **options)
            numbers = host.decode().removesuffix('.test').split('-')
            return [address(f'127.0.0.{number}', port) for number in numbers]

        monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)

    def elapsed(self, url: str, **options: Any) -> float:
        """Return the seconds that a client needs to open."""
        start = time.monotonic()
        ws = Client(url, **options)
        until(lambda: ws.ready_state != Client.CONNECTING)
        seconds = time.monotonic() - start
        assert ws.ready_state == Client.OPEN
        ws.close()
        until(lambda: ws.ready_state == Client.CLOSED)
        return seconds

    @pytest.mark.proves('K10')
    def test_is_not_held_up_by_a_dead_address(self) -> None:
        with scripted(accepting()) as server, full_listener(DEAD, server.port):
            url = f'ws://2-1.test:{server.port}/'
            seconds = until_in_time(lambda: self.elapsed(url), lambda seconds: seconds < 2 * DELAY)
            assert DELAY <= seconds < 2 * DELAY

    @pytest.mark.proves('K10')
    def test_is_not_held_up_by_a_dead_address_of_a_proxy(self) -> None:
        with scripted(accepting()) as server, scripted(tunnelling) as proxy, full_listener(DEAD, proxy.port):
            options = {'proxy': f'http://2-1.test:{proxy.port}'}
            seconds = until_in_time(lambda: self.elapsed(server.url, **options), lambda seconds: seconds < 2 * DELAY)
            assert DELAY <= seconds < 2 * DELAY

    @pytest.mark.proves('K2', 'K3')
    @pytest.mark.parametrize(('name', 'addresses'), [
        ('4-2.test', f' ({REFUSING}: {REFUSED}; {DEAD}: no answer)'), ('2.test', ''), (DEAD, '')])
    def test_reports_each_address(self, name: str, addresses: str) -> None:
        with scripted(answering(b'')) as server, full_listener(DEAD, server.port):
            before, errors = descriptors(), []
            ws = Client(f'ws://{name}:{server.port}/', timeout=DELAY)
            ws.onerror = lambda event: errors.append(event.message)
            until(lambda: errors)
            assert errors == [f'connecting to {name}:{server.port}{addresses} timed out']
            settle()
            assert descriptors() == before
