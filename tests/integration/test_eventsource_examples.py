"""The event source examples, started by the commands in their first lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_examples import command_of, free_port, running
from tests.support.eventstream import EventClient, ServerEvent
from tests.support.processes import Endpoint
from tests.support.wire import RawClient, http_get


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Endpoint]:
    """The running example of an application."""
    port = free_port()
    with running(command_of('app.py', '--bind', f'127.0.0.1:{port}'), port, tmp_path / 'run') as endpoint:
        yield endpoint


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Endpoint]:
    """The running example of a feed."""
    port = free_port()
    with running(command_of('feed.py', '--bind', f'127.0.0.1:{port}'), port, tmp_path / 'run') as endpoint:
        yield endpoint


def publish(feed: Endpoint, text: str) -> str:
    """Give the feed an event, and return its id."""
    body = text.encode()
    with RawClient(feed) as client:
        head = b'POST / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\nContent-Length: %d\r\n\r\n'
        client.send(head % len(body) + body)
        assert client.receive_head().status == 201
        return client.read_to_eof().decode().strip()


def follower(feed: Endpoint, last_event_id: str = '') -> EventClient:
    """Connect a follower of the feed."""
    return EventClient(feed, '/', [('Last-Event-ID', last_event_id)] if last_event_id else [])


class TestApplication:
    """examples/app.py and its page."""

    def test_counts_and_goes_on_where_the_client_was(self, app: Endpoint) -> None:
        with EventClient(app, '/') as client:
            client.open()
            assert client.receive_event().data.startswith('Welcome!\n\n')
            assert client.receive_event() == ServerEvent('Time: 1', 'tick', '1')
        with EventClient(app, '/', [('Last-Event-ID', '41')]) as client:
            client.open().receive_event()
            assert client.receive_event() == ServerEvent('Time: 42', 'tick', '42')

    @pytest.mark.parametrize('last_event_id', ['x', '-1', '9' * 5000, '\xb2'])
    def test_accepts_any_last_event_id(self, app: Endpoint, last_event_id: str) -> None:
        with EventClient(app, '/', [('Last-Event-ID', last_event_id)]) as client:
            client.open()
            assert [client.receive_event().type for _ in range(2)] == ['message', 'tick']

    def test_has_a_page(self, app: Endpoint) -> None:
        head, page = http_get(app, '/events')
        assert (head.status, b'<title>faye_websocket: events</title>' in page) == (200, True)
        assert http_get(app, '/other')[0].status == 404


class TestFeed:
    """examples/feed.py."""

    def test_followers_get_what_is_published(self, feed: Endpoint) -> None:
        with follower(feed) as one, follower(feed) as two:
            one.open().receive_retry()
            two.open().receive_retry()
            id = publish(feed, 'It rains,\nand rains')
            for client in (one, two):
                assert client.receive_event() == ServerEvent('It rains,\nand rains', 'message', id)

    @pytest.mark.proves('E5', 'R14')
    def test_a_follower_that_comes_back_is_sent_the_missed_events(self, feed: Endpoint) -> None:
        with follower(feed) as client:
            client.open().receive_retry()
            first = publish(feed, 'one')
            assert client.receive_event().last_event_id == first
        ids = [publish(feed, text) for text in ('two', 'three')]
        with follower(feed, first) as client:
            client.open()
            assert [client.receive_event() for _ in range(2)] == [
                ServerEvent('two', 'message', ids[0]), ServerEvent('three', 'message', ids[1])]
            id = publish(feed, 'four')
            assert client.receive_event() == ServerEvent('four', 'message', id)
        assert http_get(feed)[1] == b'There is an event stream here.\n'

    @pytest.mark.parametrize('last_event_id', ['x', '7', '9' * 5000])
    def test_an_id_of_another_feed_is_reported_and_sent_all_events(self, feed: Endpoint, last_event_id: str) -> None:
        id = publish(feed, 'one')
        with follower(feed, last_event_id) as client:
            assert client.open().receive_event() == ServerEvent('you have missed some', 'lost', last_event_id[:0])
            assert client.receive_event() == ServerEvent('one', 'message', id)

    def test_a_body_in_chunks_is_refused(self, feed: Endpoint) -> None:
        with RawClient(feed) as client:
            client.send(b'POST / HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n')
            assert client.receive_head().status == 411

    def test_a_new_follower_is_sent_no_old_events(self, feed: Endpoint) -> None:
        publish(feed, 'one')
        with follower(feed) as client:
            client.open().receive_retry()
            publish(feed, 'two')
            assert client.receive_event().data == 'two'
