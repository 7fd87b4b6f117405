"""Exceptions of signal handlers, such as KeyboardInterrupt, while the hub is at work.

gevent passes the exception to the main greenlet, and stops the watcher whose callback
was interrupted. A program may continue after that, so no connection may be left open
without being read.
"""

from __future__ import annotations

import os
import re
import signal
import socket as std_socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent import socket

from faye_websocket import EventSource
from faye_websocket.events import Event
from faye_websocket.io import scheduler as scheduler_module
from faye_websocket.io.reactor import current_reactor
from faye_websocket.io.scheduler import Job
from faye_websocket.io.stream import Stream
from tests.support.inside import carrier_of, dispatcher_of, driver_of
from tests.support.local import (
    Record,
    Response,
    hub_errors,
    joined,
    make_environ,
    run_threads,
    settle,
    wait_until,
)
from tests.support.processes import Endpoint, Process, read_text
from tests.support.waiting import until_in_time
from tests.support.waiting import wait_until as wait_blocking
from tests.support.wire import CLOSE, PING, TEXT, RawClient, serialize_frame
from tests.unit.io.test_stream import Recorder, Transport

MESSAGE = serialize_frame(TEXT, b'hello')


def interrupt(*arguments: Any) -> None:
    """Raise what Ctrl-C raises."""
    raise KeyboardInterrupt


@contextmanager
def interrupted() -> Iterator[None]:
    """Expect a KeyboardInterrupt from the hub in this block; gevent prints it, too."""
    with hub_errors() as errors:
        with pytest.raises(KeyboardInterrupt):
            yield
        settle()
    assert 'KeyboardInterrupt' in errors.getvalue()


class TestConnection:
    """A connection after an interrupt."""

    def test_delivers_its_whole_messages_and_ends(self) -> None:
        with joined() as pair, joined() as other:
            record = Record(pair.ws)
            ws, client = pair.open()
            driver_of(ws).on('ping', interrupt)
            _, other_client = other.open()
            other.ws.onmessage = lambda event: other.ws.send(event.data)
            with interrupted():
                client.send(MESSAGE + serialize_frame(PING) + serialize_frame(TEXT, b'lost'))
                gevent.sleep(5)
            event = record.the_close()
            assert (record.messages, event.code, event.reason) == (['hello'], 1011, 'interrupted')
            last = client.receive_frames()[-1]
            assert (last.opcode, last.code, last.reason) == (CLOSE, 1011, 'interrupted')
            other_client.send(MESSAGE)
            assert other_client.receive_frame().payload == b'hello'

    def test_that_is_an_event_stream_ends(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            environ = make_environ(ours, [('Accept', 'text/event-stream')])
            es = EventSource(environ)
            events: list[Any] = []
            es.onclose = events.append
            es(environ, Response())
            ours.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n')
            settle()
            carrier_of(es).interrupted()
            wait_until(lambda: events)
            assert events[0].code == 1011


class Parts:
    """A stream with a transport that can be interrupted, and the peer's socket."""

    def __init__(self) -> None:
        ours, self.peer = std_socket.socketpair()
        self.transport = Transport(ours)
        self.owner = Recorder()
        self.stream = Stream(self.transport, self.owner, current_reactor(), 100)  # type: ignore[arg-type]
        self.stream.start()

    def interrupt_once(self, name: str) -> None:
        """Interrupt the next call of one of the transport's methods."""
        method = getattr(self.transport, name)

        def interrupt_this(*arguments: Any) -> None:
            setattr(self.transport, name, method)
            raise KeyboardInterrupt

        setattr(self.transport, name, interrupt_this)


@pytest.fixture
def parts() -> Iterator[Parts]:
    """A stream for one test."""
    made = Parts()
    yield made
    made.stream.close()
    made.peer.close()


class TestStream:
    """Interrupts in the callbacks of a stream."""

    def test_that_is_interrupted_while_it_reads_continues_to_read(self, parts: Parts) -> None:
        parts.interrupt_once('recv')
        with interrupted():
            parts.peer.send(b'hello')
            gevent.sleep(5)
        assert parts.owner.events == ['interrupted', b'hello']

    def test_that_is_interrupted_while_it_writes_notifies_its_owner(self, parts: Parts) -> None:
        parts.transport.room = 1
        parts.stream.write(b'hello')
        parts.transport.room = None
        parts.interrupt_once('send')
        with interrupted():
            gevent.sleep(5)
        assert parts.owner.events == [('ended', 'interrupted')]

    def test_whose_user_is_interrupted_while_it_writes_ends(self, parts: Parts) -> None:
        parts.interrupt_once('send')
        with pytest.raises(KeyboardInterrupt):
            parts.stream.write(b'how much of this was sent?')
        settle()
        assert parts.owner.events == [('ended', 'interrupted')]


class Task(Job):
    """A job that may be interrupted."""

    def __init__(self, log: list[str], name: str, work: Callable[[], Any] = lambda: None) -> None:
        self.log, self.name, self.work = log, name, work

    def drain(self) -> None:
        """Record the name, and do the work."""
        self.log.append(self.name)
        self.work()

    def rest(self) -> None:
        """Record that the rest was interrupted, too."""
        self.log.append(f'{self.name} rests')
        raise KeyboardInterrupt

    def recover(self) -> None:
        """Record that the job was interrupted."""
        self.log.append(f'{self.name} recovers')


class TestReactor:
    """Interrupts in jobs, and in calls from other threads."""

    def test_runs_the_remaining_jobs(self) -> None:
        log: list[str] = []
        reactor = current_reactor()
        tasks = [Task(log, 'a', lambda: gevent.sleep(0.01)), Task(log, 'b')]
        gevent.get_hub().loop.run_callback(lambda: [reactor.run(task, 0) for task in tasks])
        with interrupted():
            gevent.sleep(5)
        assert log == ['a', 'a rests', 'b']

    def test_makes_a_job_recover(self) -> None:
        log: list[str] = []
        reactor = current_reactor()
        tasks = [Task(log, 'a', interrupt), Task(log, 'b')]
        gevent.get_hub().loop.run_callback(lambda: [reactor.run(task, 0) for task in tasks])
        with interrupted():
            with pytest.raises(KeyboardInterrupt):
                # The hub also notices that the first one is not done.
                gevent.sleep(5)
            gevent.sleep(5)
        assert sorted(log) == ['a', 'a recovers', 'a rests', 'b']

    def test_calls_the_remaining_functions(self) -> None:
        called: list[str] = []
        reactor = current_reactor()
        with interrupted():
            run_threads(lambda: [reactor.call_soon(each) for each in (interrupt, lambda: called.append('left'))])
            gevent.sleep(5)
        wait_until(lambda: called)


class TestDispatcher:
    """Interrupts in the queue of events."""

    def test_delivers_queued_events_once(self) -> None:
        with joined() as pair:
            record = Record(pair.ws)
            pair.open()
            record.wait('open')
            dispatcher = dispatcher_of(pair.ws)

            def cut_short() -> None:
                dispatcher.hold()
                dispatcher.push(Event('drain'))
                dispatcher.run()
                dispatcher.recover()

            gevent.get_hub().loop.run_callback(cut_short)
            record.wait('drain')
            settle()
            assert record.types == ['open', 'drain']

    @pytest.mark.parametrize('number', range(1, 4))
    def test_delivers_all_or_ends_wherever_it_is_interrupted(
            self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        calls: list[int] = []

        def getpid() -> int:
            calls.append(1)
            if len(calls) == number:
                raise KeyboardInterrupt
            return os.getpid()

        # Closing ends long before the test gives up waiting, though the client never
        # replies.
        with joined(close_timeout=0.5) as pair:
            record = Record(pair.ws)
            _, client = pair.open()
            record.wait('open')
            # In the middle of a fork every caller checks the number of the process
            # repeatedly.
            scheduler_module._before_fork()
            with monkeypatch.context() as patch, interrupted():
                patch.setattr(scheduler_module, 'os', SimpleNamespace(getpid=getpid))
                client.send(MESSAGE)
                gevent.sleep(5)
            scheduler_module._after_fork_in_parent()
            wait_until(lambda: record.messages == ['hello'] or record.of('close'))


#: The number of interrupts of a server, and of the clients that keep it busy meanwhile.
INTERRUPTS, USERS = 7, 4
BURST = b''.join(serialize_frame(TEXT, b'%03d' % number) for number in range(100))


def use(server: Endpoint, are_open: threading.Barrier, is_over: threading.Event, fates: list[str]) -> None:
    """Send bursts until the end, and record the fate of the connection."""
    try:
        with RawClient(server, deadline=5) as client:
            assert client.handshake().status == 101
            are_open.wait()
            while not is_over.is_set():
                client.send(BURST)
                for number in range(100):
                    frame = client.receive_frame()
                    if frame.opcode == CLOSE:
                        fates.append('closed')
                        return
                    assert frame.payload == b'%03d' % number
        fates.append('answered')
    except (EOFError, OSError):
        fates.append('ended')
    except AssertionError as error:
        fates.append(f'deaf: {error}')


def interrupt_server(process: Process) -> list[str]:
    """Return the fates of some clients of a server that is interrupted at work."""
    are_open, is_over, fates = threading.Barrier(USERS + 1, timeout=10), threading.Event(), list[str]()
    port = re.findall(r'port (\d+)', read_text(process.stdout))[0]
    arguments = (Endpoint(('127.0.0.1', int(port))), are_open, is_over, fates)
    threads = [threading.Thread(target=use, args=arguments) for _ in range(USERS)]
    for thread in threads:
        thread.start()
    are_open.wait()
    before = read_text(process.stdout).count('ready')
    for number in range(INTERRUPTS):
        os.kill(process.pid, signal.SIGINT)
        wait_blocking(lambda number=number: read_text(process.stdout).count('ready') > before + number, 'the interruption')
    is_over.set()
    for thread in threads:
        thread.join()
    return fates


def count_deaf(fates: list[str]) -> int:
    """Return the number of connections that were neither read nor ended."""
    return sum(fate not in ('answered', 'closed', 'ended') for fate in fates)


@pytest.mark.parametrize('form', ['default', 'pure'])
def test_every_open_connection_is_read_after_ctrl_c(tmp_path: Path, form: str) -> None:
    env = {'FAYE_WEBSOCKET_PURE': '1' if form == 'pure' else ''}
    process = Process([sys.executable, '-m', 'tests.support.interrupted'], tmp_path, env)
    try:
        process.wait_for_start(lambda: 'ready' in read_text(process.stdout))
        # A signal may arrive just before a callback begins, which only gevent could
        # fix. In pure Python that is likelier: one connection in four may meet it.
        allowed = 1 if form == 'pure' else 0
        fates = until_in_time(
            lambda: interrupt_server(process), lambda fates: count_deaf(fates) <= allowed)
        assert len(fates) == USERS
        assert count_deaf(fates) <= allowed, fates
    finally:
        process.stop()
