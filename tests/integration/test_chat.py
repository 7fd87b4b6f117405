"""The chat example: four workers behind HAProxy, without sticky sessions, and Redis.

All of these tests use one running chat, and each connects clients of its own.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from faye_websocket import Client, HandshakeError
from tests.support.chat import Chat, Chatter, running_chat
from tests.support.local import wait_until
from tests.support.processes import Endpoint
from tests.support.proxies import reserved_port
from tests.support.wire import http_get

PEOPLE = 200
WORKERS = 4

#: Seconds for two hundred clients of one process, even on a slow machine.
SLOW = 40.0


@pytest.fixture(scope='module')
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chat]:
    """The chat as its command starts it, once each of its workers accepts clients."""
    with reserved_port() as port, running_chat(tmp_path_factory.mktemp('c'), port) as chat:
        wait_until(lambda: has_room_in_all_workers(chat), deadline=SLOW)
        yield chat


def has_room_in_all_workers(chat: Chat) -> bool:
    """Return whether a group of clients reaches every worker."""
    with crowded(chat) as people:
        return len({person.worker for person in people}) == WORKERS


@pytest.fixture
def crowd(chat: Chat) -> Iterator[list[Chatter]]:
    """Two hundred connected clients."""
    with crowded(chat) as people:
        yield people


@contextmanager
def crowded(chat: Chat) -> Iterator[list[Chatter]]:
    """Connect a group of clients for the time of the block."""
    people = [Chatter(chat, f'person-{number}') for number in range(PEOPLE)]
    try:
        wait_until(lambda: all(person.worker for person in people), deadline=SLOW)
        yield people
    finally:
        for person in people:
            person.go()
        wait_until(lambda: chat.subscriptions() == 0, deadline=SLOW)


def assert_all_hear(people: list[Chatter], topic: str, count: int) -> None:
    """Check that each client receives this many messages, all in one order.

    The messages of one sender are in the order in which they were sent.
    """
    wait_until(lambda: all(len(person.texts(topic)) >= count for person in people), deadline=SLOW)
    heard = people[0].texts(topic)
    assert len(heard) == len(set(heard)) == count
    assert all(person.texts(topic) == heard for person in people)
    for person in people:
        own = [text for text in heard if text.endswith(f' {person.name}')]
        assert own == sorted(own)


def talk(people: list[Chatter], topic: str, rounds: range) -> None:
    """Send a message from each client in each round."""
    for number in rounds:
        for person in people:
            person.say(f'{topic} {number} {person.name}')


class TestMessages:
    """Messages to every client of every worker, by way of Redis."""

    @pytest.mark.proves('X1')
    def test_every_message_reaches_all_in_one_order(self, chat: Chat, crowd: list[Chatter]) -> None:
        assert len({person.worker for person in crowd}) == WORKERS
        talk(crowd, 'everybody', range(3))
        assert_all_hear(crowd, 'everybody', 3 * PEOPLE)

    @pytest.mark.proves('X1')
    def test_a_client_that_comes_back_receives_exactly_the_missed_messages(self, chat: Chat) -> None:
        anna, ben = Chatter(chat, 'anna'), Chatter(chat, 'ben')
        wait_until(lambda: anna.worker and ben.worker)
        anna.say('history 1')
        wait_until(lambda: ben.texts('history') == ['history 1'])
        ben.go()
        for number in range(2, 101):
            anna.say(f'history {number}')
        wait_until(lambda: len(anna.texts('history')) == 100)
        again = Chatter(chat, 'ben', ben.since)
        stranger = Chatter(chat, 'stranger')
        wait_until(lambda: len(again.texts()) >= 99 and len(stranger.texts()) >= 50)
        assert again.texts() == [f'history {number}' for number in range(2, 101)]
        assert stranger.texts() == [f'history {number}' for number in range(51, 101)]
        for person in anna, again, stranger:
            person.go()

    @pytest.mark.proves('X1')
    def test_a_message_that_is_sent_again_is_delivered_once(self, chat: Chat) -> None:
        with Client(f'{chat.url}/chat?name=anna') as ws:
            for key in 'first', 'first', 'second':
                ws.send(json.dumps({'key': key, 'text': f'once {key}'}))
            texts = []
            while 'once second' not in texts:
                texts.append(json.loads(ws.receive(timeout=10) or '').get('text'))
            assert texts.count('once first') == 1


class TestLosses:
    """Failures after which no message is lost or repeated."""

    @pytest.mark.proves('X1')
    @pytest.mark.parametrize('how', [signal.SIGTERM, signal.SIGKILL], ids=['restarted', 'killed'])
    def test_redis_may_restart(self, chat: Chat, crowd: list[Chatter], how: int) -> None:
        topic = f'redis-{how}'
        talk(crowd, topic, range(1))
        redis = chat.pid('redis-server')
        os.kill(redis, how)
        talk(crowd, topic, range(1, 2))
        wait_until(lambda: chat.pid('redis-server') != redis, deadline=SLOW)
        talk(crowd, topic, range(2, 3))
        assert_all_hear(crowd, topic, 3 * PEOPLE)
        assert {person.connections for person in crowd} == {1}
        wait_until(lambda: chat.subscriptions() == WORKERS)

    @pytest.mark.proves('X1')
    def test_a_worker_may_be_killed(self, chat: Chat, crowd: list[Chatter]) -> None:
        victim = crowd[0].worker
        of_the_victim = [person for person in crowd if person.worker == victim]
        talk(crowd, 'worker', range(1))
        os.kill(victim, signal.SIGKILL)
        talk(crowd, 'worker', range(1, 3))
        wait_until(lambda: all(person.connections == 2 for person in of_the_victim), deadline=SLOW)
        assert_all_hear(crowd, 'worker', 3 * PEOPLE)
        assert {person.connections for person in crowd if person not in of_the_victim} == {1}
        assert victim not in {person.worker for person in crowd}
        wait_until(lambda: len(chat.workers()) == WORKERS)
        wait_until(lambda: all(len(person.here) == PEOPLE for person in crowd), deadline=SLOW)


class TestPresence:
    """The list of those who are present, over all workers."""

    def test_every_client_sees_others_come_and_go(self, chat: Chat, crowd: list[Chatter]) -> None:
        names = {person.name for person in crowd}
        wait_until(lambda: all(set(person.here) == names for person in crowd), deadline=SLOW)
        crowd[7].go()
        rest = [person for person in crowd if person is not crowd[7]]
        wait_until(lambda: all(set(person.here) == names - {'person-7'} for person in rest), deadline=SLOW)

    def test_clients_of_a_killed_worker_are_no_longer_present(self, chat: Chat) -> None:
        people = [Chatter(chat, f'ghost-{number}') for number in range(20)]
        wait_until(lambda: all(person.worker for person in people))
        victim = people[0].worker
        gone = [person for person in people if person.worker == victim]
        rest = [person for person in people if person.worker != victim]
        wait_until(lambda: all(len(person.here) == 20 for person in people))
        os.kill(victim, signal.SIGKILL)
        for person in gone:
            person.go()
        names = {person.name for person in rest}
        wait_until(lambda: all(set(person.here) == names for person in rest), deadline=SLOW)
        for person in rest:
            person.go()


class TestSubscriptions:
    """One subscription to Redis for each worker that has sockets."""

    @pytest.mark.proves('X1')
    def test_there_is_one_for_each_worker_until_its_last_socket_leaves(self, chat: Chat, crowd: list[Chatter]) -> None:
        wait_until(lambda: chat.subscriptions() == WORKERS)
        assert chat.subscribers() == WORKERS
        worker = crowd[0].worker
        for person in crowd:
            if person.worker == worker:
                person.go()
        wait_until(lambda: chat.subscriptions() == WORKERS - 1)
        for person in crowd:
            person.go()
        wait_until(lambda: chat.subscriptions() == 0)
        wait_until(lambda: chat.subscribers() == 0)
        wait_until(lambda: chat.members() == [])


class TestRequests:
    """Requests that are refused."""

    @pytest.mark.parametrize('query', ['', 'name=', f'name={"x" * 41}', 'name=a%0Ab'])
    def test_a_name_is_required(self, chat: Chat, query: str) -> None:
        with pytest.raises(HandshakeError, match='expected status 101, got 400'), Client(f'{chat.url}/chat?{query}'):
            pytest.fail('there is no connection')

    @pytest.mark.parametrize('message', [
        '', 'no JSON', '[]', '{}', b'\xff', '{"key": "1"}', '{"key": "", "text": "x"}', 2000 * '['])
    def test_a_malformed_message_closes_with_1003(self, chat: Chat, message: str | bytes) -> None:
        codes = []
        with Client(f'{chat.url}/chat?name=anna') as ws:
            ws.onclose = lambda event: codes.append(event.code)
            ws.send(message)
            while ws.receive(10):
                pass
        wait_until(lambda: codes == [1003])

    def test_the_page_is_served(self, chat: Chat) -> None:
        head, page = http_get(Endpoint(('127.0.0.1', int(chat.url.rpartition(':')[2]))))
        assert head.status == 200
        assert b'<title>faye_websocket: chat</title>' in page
