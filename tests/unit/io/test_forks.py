"""Connections of a parent in a forked child, which leaves them alone.

A child runs its parent's hub as soon as it waits. Most tests run twice: with a real
child, and with this process treated as a child, which coverage can measure. The parent
does nothing meanwhile, so that all bytes that arrive come from the child.
"""

from __future__ import annotations

import gc
import os
import signal
import socket as std_socket
import threading
import time as std_time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.os
import gevent.ssl
import pytest
from gevent import socket

from faye_websocket import Client, EventSource, WebSocket, broadcast, close_all
from faye_websocket.io import scheduler as scheduler_module
from faye_websocket.io.reactor import Reactor, current_reactor
from faye_websocket.io.scheduler import Job
from faye_websocket.io.shutdown import Registry, open_sockets
from faye_websocket.servers import uwsgi
from tests.support.certificates import session_certificate
from tests.support.forks import as_forked_child, in_forked_child
from tests.support.inside import carrier_of, connecting_of, connection_of, stream_of, waiters_of
from tests.support.local import (
    Record,
    Response,
    joined,
    make_environ,
    run_threads,
    serve,
    settle,
    wait_until,
)
from tests.support.scripted import acceptance, read_head
from tests.support.wire import TEXT, Frame, serialize_frame

HELLO = serialize_frame(TEXT, b'hello')
#: Seconds in a child, in which any timer of these tests expires, and every other
#: callback runs.
LIFE = 0.1
#: Seconds after which a timer that is tested expires: more than it takes a busy machine
#: to come from its start to the fork.
TIMER = 0.5

InChild = Callable[[Callable[[], Any]], Any]


pytestmark = pytest.mark.usefixtures('registry')


def taken_for_one(function: Callable[[], Any]) -> Any:
    """Return the function's result, with this process treated as a child."""
    with as_forked_child():
        return function()


@pytest.fixture(params=[in_forked_child, taken_for_one])
def in_child(request: pytest.FixtureRequest) -> InChild:
    """A function that runs another in a child, and returns its result."""
    return request.param


@pytest.fixture(autouse=True)
def no_garbage() -> Iterator[None]:
    """The release of sockets that a simulated child left open."""
    yield
    settle()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ResourceWarning)
        gc.collect()


def live(*results: Any, seconds: float = LIFE) -> list[Any]:
    """Run the hub of a child for a while, and return these results."""
    gevent.sleep(seconds)
    return list(results)


def outlive_timers(*results: Any) -> list[Any]:
    """Run the hub of a child until the timers of its parent would have expired."""
    return live(*results, seconds=TIMER + LIFE)


def has_arrived(sock: Any) -> bool:
    """Return whether a peer's socket is readable, without running the hub."""
    try:
        sock._sock.recv(1, std_socket.MSG_PEEK | std_socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    return True


def arrived(sock: Any) -> bytes:
    """Return the bytes that a peer's socket has received, without running the hub."""
    return bytes(sock._sock.recv(2**20, std_socket.MSG_DONTWAIT)) if has_arrived(sock) else b''


def echo(ws: WebSocket) -> None:
    """Send each message back."""
    ws.onmessage = lambda event: ws.send(event.data)


def listening() -> Any:
    """Return a gevent socket that listens."""
    return socket.socket(fileno=std_socket.create_server(('127.0.0.1', 0)).detach())


def unmasked(text: bytes) -> bytes:
    """Return a server's frame."""
    return serialize_frame(TEXT, text, masked=False)


@contextmanager
def accepted(tls: bool) -> Iterator[tuple[Client, Any]]:
    """Return a client that pings, and its server's socket, which only accepts."""
    certificate = session_certificate()
    with listening() as listener:
        url = f'{"wss" if tls else "ws"}://127.0.0.1:{listener.getsockname()[1]}/'
        ws = Client(url, ping=LIFE, tls={'root_cert_file': certificate.authority})
        sock, _ = listener.accept()
        if tls:
            context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certfile, certificate.keyfile)
            sock = context.wrap_socket(sock, server_side=True)
        with sock:
            sock.settimeout(10)
            sock.sendall(acceptance(read_head(sock)))
            yield ws, sock


def is_at_end(sock: Any) -> bool:
    """Return whether a peer's socket reaches its end, with or without TLS, in time."""
    raw = socket.socket(fileno=os.dup(sock.fileno()))
    with raw:
        raw.settimeout(5)
        while raw.recv(65536):
            pass
    return True


class TestReactor:
    """The reactor that every object with a socket uses."""

    def test_belongs_to_the_process_that_created_it(self, in_child: InChild) -> None:
        reactor = current_reactor()
        assert not reactor.is_inherited()
        assert in_child(reactor.is_inherited) is True

    @pytest.mark.proves('O1')
    def test_is_a_new_one_in_the_child(self, in_child: InChild) -> None:
        before = current_reactor()

        def check() -> Any:
            ran: list[str] = []
            reactor = current_reactor()
            reactor.call_soon(ran.append, 'here')
            run_threads(lambda: reactor.call_soon(ran.append, 'there'))
            wait_until(lambda: len(ran) == 2)
            return [reactor is before, reactor.is_inherited(), *ran]

        assert in_child(check) == [False, False, 'here', 'there']

    def test_still_belongs_to_the_parent_after_a_fork(self) -> None:
        reactor = current_reactor()
        scheduler_module._before_fork()
        assert not reactor.is_inherited()
        scheduler_module._after_fork_in_parent()
        assert not reactor.is_inherited()

    @pytest.mark.proves('O1')
    def test_is_known_before_any_handler_of_ours_runs_in_the_child(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reactor = current_reactor()
        scheduler_module._before_fork()
        # A callback that runs between our handler and the fork.
        assert not reactor.is_inherited()
        monkeypatch.setattr(scheduler_module, 'os', SimpleNamespace(getpid=lambda: -1))
        assert reactor.is_inherited()
        scheduler_module._after_fork_in_parent()

    @pytest.mark.proves('O1')
    def test_calls_nothing(self, in_child: InChild) -> None:
        calls: list[str] = []
        reactor = current_reactor()
        poster = threading.Thread(target=lambda: reactor.call_soon(calls.append, 'posted before the fork'))
        poster.start()
        poster.join()

        def check() -> Any:
            reactor._catch_up()
            reactor.call_soon(calls.append, 'here')
            reactor.post(calls.append, 'posted here')
            return live(calls)

        assert in_child(check) == [[]]

    @pytest.mark.proves('O1')
    def test_runs_no_job(self, in_child: InChild) -> None:
        ran: list[str] = []

        class Task(Job):
            def drain(self) -> None:
                ran.append('a job')

        reactor = current_reactor()
        gevent.get_hub().loop.run_callback(reactor.run, Task(), 1)
        assert in_child(lambda: live(ran)) == [[]]

    def test_may_have_lost_its_loop(self) -> None:
        def reinit() -> None:
            raise ValueError('operation on destroyed loop')

        alarm = SimpleNamespace(start=lambda callback: None)
        reactor = Reactor(SimpleNamespace(loop=SimpleNamespace(async_=lambda ref: alarm, reinit=reinit)))
        with as_forked_child():
            assert reactor.is_inherited()


class TestConnection:
    """A socket of a server."""

    @pytest.mark.proves('O1')
    @pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
    def test_is_not_read(self, in_child: InChild, tls: bool) -> None:
        with serve(echo, tls=tls) as server:
            client, record = server.open(), server.record
            client.send(HELLO)
            assert in_child(lambda: live(record.types)) == [['open']]
            assert not has_arrived(client.socket)
            if in_child is in_forked_child:
                assert client.receive_frame() == Frame(TEXT, b'hello')

    @pytest.mark.proves('O1')
    def test_does_not_go_on_reading(self, in_child: InChild) -> None:
        with joined() as pair:
            ws, client = pair.open()
            stream_of(ws).pause()
            client.send(HELLO)

            def go_on() -> Any:
                connection_of(ws)._go_on()
                return live(stream_of(ws).is_paused)

            assert in_child(go_on) == [True]

    @pytest.mark.proves('O1')
    def test_gives_a_message_to_no_copy_of_a_greenlet(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            client.send(HELLO)
            wait_until(lambda: connection_of(ws).has_message)
            receiving = gevent.spawn(ws.receive)
            # It has begun, and lets others run.
            gevent.sleep(0)
            with as_forked_child():
                gevent.sleep(LIFE)
                assert not receiving.dead
            receiving.kill()

    @pytest.mark.proves('O1', 'L6')
    @pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
    def test_is_closed_to_its_callers(self, in_child: InChild, tls: bool) -> None:
        with serve(tls=tls, ping=60) as server:
            client, ws = server.open(), server.ws
            connection = connection_of(ws)

            def use() -> Any:
                ws.close()
                connection.abort('given up')
                connection.give_up(ValueError('given up'))
                close_all(timeout=LIFE)
                return live(
                    ws.ready_state, ws.receive(), list(ws), ws.send('x'), ws.ping(), ws.pong(), ws.ping('', print),
                    broadcast([ws], 'x'))

            assert in_child(use) == [WebSocket.CLOSED, None, [], False, False, False, False, 0]
            assert not has_arrived(client.socket)
            if in_child is in_forked_child:
                ws.send('still there')
                assert client.receive_frame() == Frame(TEXT, b'still there')

    @pytest.mark.proves('O1')
    def test_is_closed_to_callers_in_another_thread(self, in_child: InChild) -> None:
        with joined(overflow='block') as pair:
            ws, client = pair.open()

            def use() -> Any:
                results: list[Any] = []
                run_threads(lambda: results.extend([ws.send('x'), ws.ping(), ws.close()]))
                return live(*results)

            assert in_child(use) == [False, False, None]
            assert not has_arrived(client.socket)

    @pytest.mark.proves('O1', 'B5')
    def test_sends_no_unfinished_burst(self, in_child: InChild) -> None:
        with joined() as pair:
            ws, client = pair.open()
            settle()
            ws.send('at once')
            ws.send('when the hub has its turn')
            assert in_child(live) == []
            assert arrived(client.socket) == unmasked(b'at once')
            if in_child is in_forked_child:
                assert client.receive_frame() == Frame(TEXT, b'when the hub has its turn')

    @pytest.mark.proves('O1')
    def test_sends_no_bytes_that_the_kernel_has_refused(self, in_child: InChild) -> None:
        with joined(buffer_size=4096) as pair:
            ws, client = pair.open()
            ws.send(bytes(2**20))
            before = arrived(client.socket)
            assert before
            assert in_child(live) == []
            # The kernel may have accepted more of the parent's bytes.
            after = arrived(client.socket)
            if in_child is in_forked_child:
                got = len(before) + len(after)
                while got < 2**20 + 10:
                    got += len(client.socket.recv(2**20))
                assert got == 2**20 + 10

    @pytest.mark.proves('O1', 'L1')
    def test_is_not_pinged_nor_dropped(self, in_child: InChild) -> None:
        with joined(ping=TIMER) as pair:
            ws, client = pair.open()
            assert in_child(outlive_timers) == []
            assert not has_arrived(client.socket)

    @pytest.mark.proves('O1', 'L1')
    def test_is_not_dropped_after_a_ping(self, in_child: InChild) -> None:
        with joined(ping=0.01, ping_timeout=TIMER) as pair:
            ws, client = pair.open()
            assert client.receive_frame().payload == b''
            assert in_child(outlive_timers) == []
            assert not has_arrived(client.socket)

    @pytest.mark.proves('O1', 'L3')
    def test_is_not_dropped_while_it_closes(self, in_child: InChild) -> None:
        with joined(close_timeout=TIMER) as pair:
            ws, client = pair.open()
            ws.close()
            assert client.receive_frame().code == 1000
            assert in_child(outlive_timers) == []
            assert not has_arrived(client.socket)

    @pytest.mark.proves('O1')
    def test_is_not_ended_when_all_bytes_are_sent(self, in_child: InChild) -> None:
        with joined() as pair:
            ws, client = pair.open()
            stream = stream_of(ws)
            assert stream is not None
            assert in_child(lambda: live(stream.finish(1))) == [None]
            assert not has_arrived(client.socket)

    @pytest.mark.proves('O1')
    def test_runs_no_handler_but_the_one_that_forked(self, in_child: InChild) -> None:
        with joined() as one, joined() as other:
            ran: list[str] = []
            seen: list[Any] = []
            for pair in (one, other):
                ws, client = pair.open()
                client.send(HELLO + HELLO)
                ws.onclose = lambda event: None

            def handle(event: Any) -> None:
                ran.append('a handler')
                if len(ran) == 1:
                    seen.append(in_child(lambda: live(*ran)))

            one.ws.onmessage = other.ws.onmessage = handle
            wait_until(lambda: seen)
            assert seen == [['a handler']]

    @pytest.mark.proves('O1')
    def test_runs_no_other_handler_when_the_one_that_forked_returns(self) -> None:
        with joined() as one, joined() as other:
            pids: list[int] = []
            ran: list[str] = []

            def handle(event: Any) -> None:
                ran.append('a handler')
                if len(ran) > 1:
                    return
                pids.append(gevent.os.fork_gevent())
                if not pids[0]:
                    gevent.spawn_later(LIFE, lambda: os._exit(len(ran)))

            for pair in (one, other):
                _, client = pair.open()
                pair.ws.onmessage = handle
                client.send(HELLO + HELLO)
            wait_until(lambda: len(ran) == 4)
            assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 1

    @pytest.mark.proves('O1')
    def test_does_not_wake_a_greenlet_that_waits_for_a_message(self, in_child: InChild) -> None:
        with joined() as pair:
            ws, client = pair.open()
            received: list[Any] = []

            def receive(timeout: float | None) -> None:
                with suppress(TimeoutError):
                    received.append(ws.receive(timeout))
                received.append('it goes on')

            waiting = [gevent.spawn(receive, timeout) for timeout in (None, LIFE / 2)]
            settle()
            client.send(HELLO)
            assert in_child(lambda: live(received)) == [[]]
            if in_child is in_forked_child:
                waiting[0].join(10)
                assert 'hello' in received
            gevent.killall(waiting)

    @pytest.mark.proves('O1')
    def test_is_not_accepted(self, in_child: InChild) -> None:
        with joined() as pair:
            def use() -> Any:
                pair.start()
                return live(pair.ws.ready_state, len(open_sockets))

            assert in_child(use) == [WebSocket.CLOSED, 0]
            if in_child is in_forked_child:
                assert not has_arrived(pair.client.socket)
                pair.open()

    @pytest.mark.proves('O1')
    def test_made_in_a_child_works(self, in_child: InChild) -> None:
        def use() -> Any:
            with joined() as pair:
                ws, client = pair.open()
                record = Record(ws)
                echo(ws)
                client.send(HELLO)
                frame = client.receive_frame()
                close_all(timeout=LIFE)
                return [frame.payload.decode(), client.receive_frame().code, record.the_close().code, len(open_sockets)]

        with joined() as pair:
            pair.open()
            assert in_child(use) == ['hello', 1001, 1006, 0]
            assert not has_arrived(pair.client.socket)

    def test_is_accepted_in_the_child_of_a_parent_that_ends(self, registry: Registry) -> None:
        with registry._waiting(lambda: False):
            assert registry.is_closing
            assert in_forked_child(lambda: registry.is_closing) is False
            # The child has called this function.
            registry.reopen()
            assert not registry.is_closing


class TestClient:
    """A client's socket."""

    @pytest.mark.proves('O1')
    @pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
    def test_does_nothing(self, in_child: InChild, tls: bool) -> None:
        with serve(tls=tls) as server:
            options: Any = {'tls': {'root_cert_file': server.certificate.authority}} if server.certificate else {}
            ws = Client(f'{"wss" if tls else "ws"}://127.0.0.1:{server.wsgi.server_port}/', **options)
            record = Record(ws)  # type: ignore[arg-type]
            record.wait('open')
            server.ws.send('hello')

            def use() -> Any:
                ws.close()
                return live(ws.ready_state, ws.send('x'), ws.receive(), record.types, server.record.types)

            assert in_child(use) == [Client.CLOSED, False, None, ['open'], ['open']]
            if in_child is in_forked_child:
                assert record.wait('message').data == 'hello'
                ws.close()
                assert server.record.the_close().code == 1000

    @pytest.mark.proves('O1')
    def test_that_has_not_begun_to_connect_does_nothing(self, in_child: InChild) -> None:
        with listening() as listener:
            ws = Client(f'ws://127.0.0.1:{listener.getsockname()[1]}/')
            assert in_child(live) == []
            listener.settimeout(0)
            with pytest.raises(BlockingIOError):
                listener.accept()
            ws.close()

    @pytest.mark.proves('O1')
    def test_that_is_connecting_continues_in_the_parent_only(self, in_child: InChild) -> None:
        with listening() as listener:
            proxy = f'http://127.0.0.1:{listener.getsockname()[1]}'
            ws = Client('ws://example.com/', proxy=proxy, timeout=60)
            sock, _ = listener.accept()
            with sock:
                assert read_head(sock).startswith(b'CONNECT example.com:80 HTTP/1.1')
                sock._sock.send(b'HTTP/1.1 200 OK\r\n\r\n')
                assert in_child(live) == []
                assert not has_arrived(sock)
                if in_child is in_forked_child:
                    assert read_head(sock).startswith(b'GET / HTTP/1.1')
                # End a greenlet that waits for ever in the simulated child.
                connecting_of(ws).kill()

    @pytest.mark.proves('O1', 'O2')
    def test_that_gives_up_in_a_child_does_not_end_its_parents_socket(self, in_child: InChild) -> None:
        with listening() as listener:
            ws = Client(f'wss://127.0.0.1:{listener.getsockname()[1]}/')
            sock, _ = listener.accept()
            with sock:
                sock.recv(1)
                arrived(sock)
                assert in_child(lambda: live(connecting_of(ws).kill())) == [None]
                if in_child is in_forked_child:
                    assert not has_arrived(sock)
                connecting_of(ws).kill()


@pytest.fixture
def copies() -> Iterator[Callable[[], None]]:
    """An idle child with a copy of every open descriptor."""
    pids: list[int] = []

    def make() -> None:
        pid = gevent.os.fork_gevent()
        if not pid:
            std_time.sleep(60)
            os._exit(1)
        pids.append(pid)

    yield make
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


class TestEnd:
    """The end of a connection, as its peer sees it, while a child has a copy."""

    @pytest.mark.proves('O2')
    @pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
    def test_of_a_client_that_gives_its_server_up(self, copies: Callable[[], None], tls: bool) -> None:
        with accepted(tls) as (ws, sock):
            copies()
            record = Record(ws)  # type: ignore[arg-type]
            assert record.the_close().reason == 'ping timeout'
            assert is_at_end(sock)

    @pytest.mark.proves('O2')
    def test_of_a_client_that_cannot_connect(self, copies: Callable[[], None]) -> None:
        with listening() as listener:
            ws = Client(f'wss://127.0.0.1:{listener.getsockname()[1]}/', timeout=LIFE)
            sock, _ = listener.accept()
            with sock:
                sock.recv(1)
                copies()
                record = Record(ws)  # type: ignore[arg-type]
                assert record.the_close().reason == 'TLS handshake with 127.0.0.1 timed out'
                assert is_at_end(sock)

    @pytest.mark.proves('O2')
    def test_of_a_socket_that_was_closed_before_it_was_accepted(self, copies: Callable[[], None]) -> None:
        with joined(max_buffered=0, overflow='close') as pair:
            pair.ws.send('x')
            pair.ws.send('more than may wait')
            copies()
            pair.start()
            assert is_at_end(pair.client.socket)


class TestEventSource:
    """Event sources of both kinds."""

    @pytest.mark.proves('O1')
    def test_on_a_socket_does_nothing(self, in_child: InChild) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            environ = make_environ(ours, [('Accept', 'text/event-stream')])
            es = EventSource(environ, ping=TIMER)
            es(environ, Response())
            ours.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n')
            settle()
            assert arrived(theirs)
            uses = lambda: outlive_timers(es.ready_state, es.send('x'), es.ping(), es.close())
            assert in_child(uses) == [3, False, False, None]
            assert not has_arrived(theirs)
            es.close()

    @pytest.mark.proves('O1')
    def test_that_is_pulled_gives_nothing(self, in_child: InChild) -> None:
        es = EventSource(make_environ(headers=[('Accept', 'text/event-stream')]), ping=TIMER)
        pieces: list[bytes] = []
        response: Any = es.wsgi_response(Response())
        puller = gevent.spawn(lambda: pieces.extend(response))
        settle()
        assert pieces == [b'retry: 5000\r\n']

        def use() -> Any:
            results = [es.ready_state, es.send('x'), es.ping(), es.close(), list(response), response.close()]
            opened: list[Any] = []
            es.onopen = opened.append
            return outlive_timers(*results, opened, len(pieces))

        assert in_child(use) == [EventSource.CLOSED, False, False, None, [], None, [], 1]
        if in_child is in_forked_child:
            es.send('x')
            settle()
            assert b'data: x\r\n\r\n' in pieces
            es.close()
            puller.join(10)
        puller.kill()

    @pytest.mark.proves('O1')
    def test_that_is_pulled_does_not_wake_greenlets_that_wait_for_room(self, in_child: InChild) -> None:
        es = EventSource(make_environ(headers=[('Accept', 'text/event-stream')]), max_buffered=1, overflow='block')
        es.wsgi_response(Response())
        sent: list[bool] = []
        assert es.send('first')
        waiting = gevent.spawn(lambda: sent.append(es.send('second')))
        settle()

        def use() -> Any:
            for waiter in waiters_of(es):
                waiter.set()
            return live(sent)

        assert in_child(use) == [[]]
        waiting.kill()

    @pytest.mark.proves('O1')
    def test_that_is_pulled_does_not_wake_greenlets_that_wait_for_its_client(self, in_child: InChild) -> None:
        es = EventSource(make_environ(headers=[('Accept', 'text/event-stream')]), max_buffered=1, overflow='block')
        es.wsgi_response(Response())
        ended: list[bool] = []
        es.send('first')
        waiting = gevent.spawn(lambda: ended.append(carrier_of(es).wait_until_caught_up()))
        settle()

        def use() -> Any:
            for waiter in waiters_of(es):
                waiter.set()
            return live(ended)

        assert in_child(use) == [[]]
        waiting.kill()

    @pytest.mark.proves('O1')
    def test_that_is_pulled_gives_nothing_when_its_handler_forks(self) -> None:
        es = EventSource(make_environ(headers=[('Accept', 'text/event-stream')]))
        response: Any = es.wsgi_response(Response())

        with ExitStack() as stack:
            es.onopen = lambda event: stack.enter_context(as_forked_child())
            assert list(response) == []


@pytest.mark.proves('O1')
def test_uwsgis_writes_continue_in_the_parent_only(in_child: InChild) -> None:
    ours, theirs = socket.socketpair()
    sock, client = socket.socketpair()
    with theirs, client:
        passing = gevent.spawn(uwsgi._pass_on, ours, sock, 0)
        settle()
        theirs._sock.send(b'a head')
        assert in_child(live) == []
        assert not has_arrived(client)
        if in_child is in_forked_child:
            assert client.recv(100) == b'a head'
        passing.kill()
