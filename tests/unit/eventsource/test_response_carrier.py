"""An event stream that a WSGI server iterates over, in a thread of its own."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from faye_websocket import EventSource
from faye_websocket.eventsource.response_carrier import ResponseBody
from faye_websocket.io.shutdown import Registry, open_sockets
from tests.support.inside import carrier_of, waiters_of
from tests.support.local import Record, Response, run_threads, settle
from tests.support.processes import ROOT
from tests.support.waiting import DEADLINE, wait_until

RETRY = b'retry: 5000\r\n'
PING = b':\r\n'


def event(data: str) -> bytes:
    """Return an event in the form on the wire."""
    return f'data: {data}\r\n\r\n'.encode()


pytestmark = pytest.mark.usefixtures('registry')


def new_source(**options: Any) -> EventSource:
    """Return an event source under a server that gives no access to its socket."""
    environ = {'REQUEST_METHOD': 'GET', 'HTTP_HOST': 'example.com', 'PATH_INFO': '/', 'wsgi.url_scheme': 'http'}
    return EventSource(environ, **options)


def respond(es: EventSource) -> ResponseBody:
    """Return the response, of which nothing was read yet."""
    response = es.wsgi_response(Response())
    assert isinstance(response, ResponseBody)
    return response


def opened(**options: Any) -> tuple[EventSource, ResponseBody]:
    """Return an event source whose response has begun."""
    es = new_source(**options)
    response = respond(es)
    assert next(response) == RETRY
    return es, response


def in_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """Run it in an OS thread; return a function that joins that and returns its result.
    """
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()

    def join() -> Any:
        thread.join(DEADLINE)
        assert results, 'the thread has not ended'
        return results[0]

    return join


def waiters(es: EventSource) -> int:
    """Count the threads that wait for a change."""
    return len(waiters_of(es))


@pytest.fixture
def closing() -> Iterator[list[EventSource]]:
    """Event sources that end with the test, so that nothing waits for them."""
    sources: list[EventSource] = []
    yield sources
    for es in sources:
        es.close()


class TestConnecting:
    """Before the server has read anything."""

    @pytest.mark.proves('E2')
    def test_the_first_piece_is_there_at_once(self) -> None:
        es, _ = opened()
        assert es.ready_state == EventSource.OPEN

    def test_what_was_sent_before_is_in_the_first_piece(self) -> None:
        es = new_source()
        assert es.send('a')
        assert (es.ready_state, es.buffered_amount) == (EventSource.CONNECTING, 11)
        assert next(respond(es)) == RETRY + event('a')
        assert es.buffered_amount == 0

    @pytest.mark.proves('L2')
    def test_closing_then_ends_the_stream_behind_it(self) -> None:
        es = new_source()
        record = Record(es)
        es.send('a')
        es.close()
        assert not es.send('b')
        assert list(respond(es)) == [RETRY + event('a')]
        assert [(event.type, event.code) for event in record.events] == [('close', 1000)]

    @pytest.mark.proves('L2')
    def test_a_response_that_is_never_pulled_is_closed_too(self, registry: Registry) -> None:
        es = new_source()
        record = Record(es)
        respond(es).close()
        assert [(event.type, event.code) for event in record.events] == [('close', 1006)]
        assert len(registry) == 0

    def test_it_is_registered_from_the_first_piece_to_the_end(self, registry: Registry) -> None:
        es = new_source()
        response = respond(es)
        assert len(registry) == 0
        next(response)
        assert len(registry) == 1
        response.close()
        assert len(registry) == 0

    def test_it_ends_at_once_while_all_are_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr('faye_websocket.eventsource.response_carrier.register', lambda socket: True)
        es = new_source()
        record = Record(es)
        assert list(respond(es)) == [RETRY]
        assert record.of('close')[0].code == 1001


class TestOpen:
    """While the server reads."""

    def test_what_waits_is_one_piece(self) -> None:
        es, response = opened()
        es.send('a')
        es.send('b')
        assert next(response) == event('a') + event('b')

    @pytest.mark.proves('B5')
    def test_a_piece_is_of_a_size_that_can_be_written(self) -> None:
        es, response = opened()
        for _ in range(10):
            es.send('x' * 30_000)
        assert [len(next(response)) // 30_000 for _ in range(4)] == [3, 3, 3, 1]

    def test_the_server_waits_for_the_next_event(self) -> None:
        es, response = opened()
        piece = in_thread(lambda: next(response))
        wait_until(lambda: waiters(es), 'the server waiting')
        assert es.send('a')
        assert piece() == event('a')

    def test_a_ping_goes_out_when_it_is_due_and_nothing_else_was(self) -> None:
        _, response = opened(ping=0.05)
        began = time.monotonic()
        assert [next(response), next(response)] == [PING, PING]
        assert 0.1 <= time.monotonic() - began < 1

    @pytest.mark.proves('L7')
    def test_a_ping_overtakes_what_waits_and_at_most_one_does(self) -> None:
        es, response = opened()
        es.send('a')
        assert es.ping()
        assert es.ping()
        assert next(response) == PING + event('a')

    def test_a_ping_wakes_the_server(self) -> None:
        es, response = opened()
        piece = in_thread(lambda: next(response))
        wait_until(lambda: waiters(es), 'the server waiting')
        es.ping()
        assert piece() == PING

    @pytest.mark.proves('C1')
    @pytest.mark.threads
    def test_eight_threads_send_in_order(self) -> None:
        es, response = opened()

        def send(name: int) -> None:
            for number in range(1000):
                assert es.send(f'{name} {number}')

        def pull() -> None:
            stream = b''
            while stream.count(b'\r\n\r\n') < 8000:
                stream += next(response)
            lines = [line.split()[1:] for line in stream.decode().split('\r\n') if line]
            for name in range(8):
                assert [int(number) for who, number in lines if int(who) == name] == list(range(1000))

        run_threads(pull, *(lambda name=name: send(name) for name in range(8)))


class TestCatchingUp:
    """A greenlet that waits until its client has got what was sent."""

    def test_ends_when_the_stream_does(self) -> None:
        es, _ = opened(max_buffered=1)
        es.send('x')
        waiting = gevent.spawn(carrier_of(es).wait_until_caught_up)
        settle()
        es.close()
        assert waiting.get(timeout=5) is False


class TestClosing:
    """The end by us, or by the client."""

    @pytest.mark.proves('L2')
    def test_what_was_sent_before_comes_before_the_end(self) -> None:
        es, response = opened()
        record = Record(es)
        es.send('a')
        es.close()
        es.close()
        assert es.ready_state == EventSource.CLOSING
        assert list(response) == [event('a')]
        assert es.ready_state == EventSource.CLOSED
        assert [(event.type, *describe(event)) for event in record.events] == [('open',), ('close', 1000, '', True)]
        response.close()
        assert record.types == ['open', 'close']

    def test_closing_wakes_the_server(self) -> None:
        es, response = opened()
        rest = in_thread(lambda: list(response))
        wait_until(lambda: waiters(es), 'the server waiting')
        es.close()
        assert rest() == []

    @pytest.mark.proves('L2')
    def test_a_client_that_is_gone_is_told_by_the_server(self) -> None:
        es, response = opened()
        record = Record(es)
        es.send('lost')
        response.close()
        assert [(event.type, *describe(event)) for event in record.events] == [('open',), ('close', 1006, '', False)]
        assert (es.ready_state, es.buffered_amount) == (EventSource.CLOSED, 0)

    @pytest.mark.proves('L6')
    def test_nothing_is_sent_once_closed(self) -> None:
        es, response = opened()
        response.close()
        assert not es.send('a')
        assert not es.ping()
        es.close()
        assert list(response) == []

    def test_close_all_closes_with_1001(self) -> None:
        es, response = opened()
        record = Record(es)
        rest = in_thread(lambda: list(response))
        open_sockets.close_all(timeout=DEADLINE)
        assert rest() == []
        assert [(event.type, *describe(event)) for event in record.events] == [('open',), ('close', 1001, '', True)]

    def test_close_all_gives_up_a_stream_that_nobody_pulls(self) -> None:
        es, response = opened()
        record = Record(es)
        es.send('a')
        open_sockets.close_all(timeout=0.01)
        assert list(response) == []
        assert describe(record.of('close')[0]) == (1001, '', True)

    def test_an_open_stream_is_given_up_with_1006(self) -> None:
        es, response = opened()
        record = Record(es)
        es.send('a')
        carrier_of(es).abort('close timeout')
        assert list(response) == []
        assert describe(record.of('close')[0]) == (1006, 'close timeout', False)


def describe(event: Any) -> tuple[Any, ...]:
    """Return the attributes of a close event; nothing for another."""
    return (event.code, event.reason, event.was_clean) if event.type == 'close' else ()


class TestHandlers:
    """Handlers, which run where the server reads."""

    def test_open_is_told_behind_the_first_piece(self) -> None:
        es, response = opened()
        es.onopen = lambda event: es.send('from onopen')
        assert next(response) == event('from onopen')

    @pytest.mark.proves('L8')
    def test_a_late_handler_wakes_the_server(self) -> None:
        es, response = opened()
        piece = in_thread(lambda: next(response))
        wait_until(lambda: waiters(es), 'the server waiting')
        es.onopen = lambda event: es.send('late')
        assert piece() == event('late')

    @pytest.mark.proves('L8')
    def test_a_handler_set_after_the_end_gets_the_close_event(self) -> None:
        es, response = opened()
        response.close()
        events: list[Any] = []
        es.onclose = events.append
        assert [describe(event) for event in events] == [(1006, '', False)]

    @pytest.mark.proves('C2')
    def test_a_fault_is_logged_once_and_ends_this_stream_only(self, caplog: pytest.LogCaptureFixture) -> None:
        es, response = opened()
        other, other_response = opened()
        record = Record(es, ('error', 'close'))
        es.onopen = raise_fault
        with caplog.at_level(logging.ERROR, 'faye_websocket'):
            assert list(response) == []
        assert [message.getMessage() for message in caplog.records] == ['open handler of http://example.com/ raised']
        assert record.types == ['error', 'close']
        assert str(record.events[0].error) == 'a fault'
        assert describe(record.events[1]) == (1011, 'internal error', True)
        other.send('a')
        assert next(other_response) == event('a')

    @pytest.mark.proves('C2')
    def test_a_fault_of_onclose_is_logged_once(self, caplog: pytest.LogCaptureFixture, registry: Registry) -> None:
        es, response = opened()
        es.onclose = raise_fault
        with caplog.at_level(logging.ERROR, 'faye_websocket'):
            response.close()
        assert [message.getMessage() for message in caplog.records] == ['close handler of http://example.com/ raised']
        assert len(registry) == 0

    @pytest.mark.proves('C2', 'L2')
    def test_system_exit_passes_to_the_server_and_is_the_end_all_the_same(self) -> None:
        es, response = opened()
        record = Record(es, ('close',))
        es.onopen = lambda event: sys.exit(3)
        with pytest.raises(SystemExit):
            next(response)
        response.close()
        assert [event.code for event in record.events] == [1011]


def raise_fault(event: object) -> None:
    """Raise an exception in a handler."""
    raise ValueError('a fault')


class TestOverflow:
    """A client that is behind by more than ``max_buffered``."""

    @pytest.mark.proves('B1')
    @pytest.mark.parametrize('size', [1000, 1001], ids=['at the bound', 'above it'])
    def test_the_bound_is_exact(self, size: int) -> None:
        es, _ = opened(max_buffered=1000, overflow='drop')
        assert es.send('x' * (300 - 10))
        assert es.send('x' * (size - 300 - 10)) is (size == 1000)

    @pytest.mark.proves('B3')
    def test_close_says_why_in_the_place_of_what_waits(self) -> None:
        es, response = opened(max_buffered=1000)
        record = Record(es)
        assert es.send('x' * 900)
        assert not es.send('x' * 900)
        assert es.ready_state == EventSource.CLOSING
        assert list(response) == [b': slow consumer\r\n']
        assert describe(record.of('close')[0]) == (1013, 'slow consumer', False)

    def test_too_much_before_the_response_ends_it(self) -> None:
        es = new_source(max_buffered=1000)
        assert [es.send('x' * 900), es.send('x' * 900)] == [True, False]
        assert list(respond(es)) == [RETRY + b': slow consumer\r\n']

    @pytest.mark.proves('B1')
    def test_drop_answers_false_until_the_client_has_caught_up(self) -> None:
        es, response = opened(max_buffered=1000, overflow='drop')
        record = Record(es, ('drain',))
        assert [es.send('x' * 900), es.send('y' * 900)] == [True, False]
        assert next(response) == event('x' * 900)
        assert es.send('z' * 900)
        assert next(response) == event('z' * 900)
        assert record.types == ['drain']

    def test_drain_is_not_told_once_closing(self) -> None:
        es, response = opened(max_buffered=1000)
        record = Record(es)
        es.send('x' * 900)
        es.close()
        list(response)
        assert record.types == ['open', 'close']

    @pytest.mark.proves('B1')
    def test_block_waits_for_the_client(self) -> None:
        es, response = opened(max_buffered=1000, overflow='block')
        assert es.send('x' * 900)
        sent = in_thread(lambda: es.send('y' * 900))
        wait_until(lambda: waiters(es), 'the sender waiting')
        assert next(response) == event('x' * 900)
        assert sent()
        assert next(response) == event('y' * 900)

    def test_block_gives_up_when_the_stream_ends(self) -> None:
        es, response = opened(max_buffered=1000, overflow='block')
        es.send('x' * 900)
        sent = in_thread(lambda: es.send('y' * 900))
        wait_until(lambda: waiters(es), 'the sender waiting')
        response.close()
        assert not sent()

    def test_block_never_waits_where_the_server_pulls(self) -> None:
        es, response = opened(max_buffered=1000, overflow='block')
        answers: list[bool] = []
        es.onopen = lambda event: answers.extend(es.send('x' * 900) for _ in range(2))
        next(response)
        assert answers == [True, False]

    def test_block_never_waits_before_the_response(self) -> None:
        es = new_source(max_buffered=1000, overflow='block')
        assert [es.send('x' * 900), es.send('y' * 900)] == [True, False]


class TestGevent:
    """A gevent server whose socket is not known: its thread must not be blocked."""

    def test_a_greenlet_waits_like_a_greenlet(self) -> None:
        es = new_source(ping=5)
        piece = gevent.spawn(lambda: [next(response) for response in [respond(es)] for _ in range(2)])
        gevent.spawn_later(0.01, es.send, 'a')
        assert piece.get(timeout=2) == [RETRY, event('a')]

    def test_a_thread_wakes_a_greenlet(self) -> None:
        es = new_source()
        piece = gevent.spawn(lambda: [next(response) for response in [respond(es)] for _ in range(2)])
        while not waiters(es):
            gevent.sleep(0.001)
        run_threads(lambda: es.send('a'))
        assert piece.get(timeout=2) == [RETRY, event('a')]

    @pytest.mark.proves('E7')
    def test_without_gevent_no_hub_is_made(self) -> None:
        program = """
import gevent.hub
from tests.unit.eventsource.test_response_carrier import *
es = new_source(ping=.01)
response = respond(es)
print([next(response) for _ in range(2)])
es.onclose = lambda event: print(event.code)
es.close()
print(list(response), gevent.hub._get_hub())
"""
        result = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, timeout=20)
        assert (result.stdout, result.stderr) == (f'{[RETRY, PING]}\n1000\n[] None\n', '')


def test_shows_its_state() -> None:
    es, _ = opened()
    es.send('a')
    assert repr(carrier_of(es)) == '<ResponseCarrier OPEN buffered=11>'
