"""The greenlets that run handlers, and that are reused without a trace."""

from __future__ import annotations

import contextvars
import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import gevent.local
import pytest
from greenlet import greenlet

from faye_websocket.io import interpreter
from faye_websocket.io import reactor as reactor_module
from faye_websocket.io.reactor import TURN, Reactor, current_job, current_reactor, run_out
from faye_websocket.io.scheduler import BATCH, Job
from tests.support.local import Record, hub_errors, joined, run_threads, settle, wait_until
from tests.support.wire import TEXT, Frame, serialize_frame

#: Coverage keeps a weak reference to each greenlet that it follows, and such a greenlet
#: is never reused.
pytestmark = pytest.mark.threads

MESSAGE = serialize_frame(TEXT, b'hello')
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar('VARIABLE', default='nothing')
reuses = pytest.mark.skipif(not interpreter.COUNTS_REFERENCES, reason='this interpreter counts no references')


def handle_in_turn(*handlers: Callable[[], Any]) -> list[Any]:
    """Run each function as a handler of its own connection, and return the results."""
    results: list[Any] = []
    for handler in handlers:
        with joined() as pair:
            count = len(results)
            pair.ws.onmessage = lambda event, handler=handler: results.append(handler())
            _, client = pair.open()
            client.send(MESSAGE)
            wait_until(lambda count=count: len(results) > count)
            settle()
    return results


def parked_workers() -> list[Any]:
    """Return the greenlets that wait for a handler to run."""
    gc.collect()
    return [thing for thing in gc.get_objects() if type(thing).__module__ == 'faye_websocket.io.reactor'
            and isinstance(thing, greenlet) and not thing.dead]


class TestParkedWorker:
    @reuses
    def test_ends_when_it_is_dismissed(self) -> None:
        with joined() as pair:
            workers: list[Any] = []
            pair.ws.onmessage = lambda event: workers.append(gevent.getcurrent())
            _, client = pair.open()
            client.send(MESSAGE)
            wait_until(lambda: workers)
            settle()
            current_reactor().dismiss()
            settle()
            assert workers[0].dead
            # There is none now.
            current_reactor().dismiss()
            client.send(MESSAGE)
            wait_until(lambda: len(workers) == 2)


class TestWorker:
    """A worker, which passes no state from one connection's handler to another's."""

    @reuses
    def test_is_used_again(self) -> None:
        first, second = handle_in_turn(*[lambda: id(gevent.getcurrent())] * 2)
        assert first == second

    @reuses
    def test_is_used_again_for_each_of_many_messages(self) -> None:
        with joined() as pair:
            workers: list[int] = []
            pair.ws.onmessage = lambda event: workers.append(id(gevent.getcurrent()))
            _, client = pair.open()
            for number in range(1, 20):
                client.send(MESSAGE)
                wait_until(lambda number=number: len(workers) == number)
            assert len(set(workers)) == 1

    def test_a_timeout_left_running_never_fires_in_another_handler(self) -> None:
        fired: list[BaseException] = []

        def leave_timeout() -> None:
            gevent.Timeout.start_new(0.02)

        def wait() -> None:
            try:
                gevent.sleep(0.1)
            except gevent.Timeout as timeout:
                fired.append(timeout)

        with joined(), joined():
            handle_in_turn(leave_timeout, wait)
        assert fired == []

    @reuses
    def test_a_cancelled_timeout_requires_no_new_greenlet(self) -> None:
        def use_timeout() -> int:
            with gevent.Timeout(5):
                return id(gevent.getcurrent())

        first, second = handle_in_turn(use_timeout, use_timeout)
        assert first == second

    def test_greenlet_locals_do_not_leak(self) -> None:
        local = gevent.local.local()

        def swap() -> str:
            before = getattr(local, 'user', 'nobody')
            local.user = 'alice'
            return before

        assert handle_in_turn(swap, swap, swap) == ['nobody'] * 3

    def test_context_variables_do_not_leak(self) -> None:
        def swap() -> str:
            before = VARIABLE.get()
            VARIABLE.set('something')
            return before

        assert handle_in_turn(swap, swap) == ['nothing'] * 2
        assert VARIABLE.get() == 'nothing'

    def test_attributes_of_the_greenlet_do_not_leak(self) -> None:
        def swap() -> str:
            current = gevent.getcurrent()
            before = getattr(current, 'user', 'nobody')
            current.user = 'alice'
            return before

        assert handle_in_turn(swap, swap) == ['nobody'] * 2

    def test_spawn_tree_locals_do_not_leak(self) -> None:
        def swap() -> str:
            tree_locals = gevent.getcurrent().spawn_tree_locals
            before = tree_locals.get('user', 'nobody')
            tree_locals['user'] = 'alice'
            return str(before)

        assert handle_in_turn(swap, swap) == ['nobody'] * 2

    def test_a_callback_linked_to_the_greenlet_is_called_after_its_handler(self) -> None:
        ended: list[Any] = []
        handle_in_turn(lambda: gevent.getcurrent().link(ended.append))
        wait_until(lambda: ended, 'the link', 1)

    def test_a_kept_reference_is_to_no_later_handlers_greenlet(self) -> None:
        kept: list[Any] = []
        handle_in_turn(lambda: kept.append(gevent.getcurrent()), lambda: kept.append(gevent.getcurrent()))
        assert kept[0] is not kept[1]
        assert kept[0].dead

    def test_a_late_kill_affects_no_other_handler(self) -> None:
        kept: list[Any] = []
        survived: list[bool] = []

        def wait() -> None:
            gevent.kill(kept[0])
            gevent.sleep(0.01)
            survived.append(True)

        handle_in_turn(lambda: kept.append(gevent.getcurrent()), wait)
        wait_until(lambda: survived)

    def test_one_that_was_killed_while_parked_is_replaced(self) -> None:
        handle_in_turn(lambda: None)
        gevent.killall(parked_workers())
        assert handle_in_turn(lambda: 'it ran') == ['it ran']

    def test_handlers_that_block_have_workers_of_their_own(self) -> None:
        release, workers = gevent.event.Event(), set()

        def block(event: Any) -> None:
            workers.add(gevent.getcurrent())
            release.wait()

        with joined() as one, joined() as two:
            for pair in (one, two):
                pair.ws.onmessage = block
                _, client = pair.open()
                client.send(MESSAGE)
            wait_until(lambda: len(workers) == 2)
            release.set()
            wait_until(lambda: all(worker.dead for worker in workers))

    def test_one_that_blocked_does_not_stay(self) -> None:
        greenlets: list[Any] = []

        def block() -> None:
            gevent.sleep(0.001)
            greenlets.append(gevent.getcurrent())

        handle_in_turn(block, block)
        wait_until(lambda: all(each.dead for each in greenlets))
        assert len(set(map(id, greenlets))) == 2


class Task(Job):
    """A job that records its calls, and may block."""

    def __init__(self, log: list[Any], name: str, work: Callable[[], Any] = lambda: None) -> None:
        self.log, self.name, self.work = log, name, work

    def drain(self) -> None:
        """Record the name, and do the work."""
        self.log.append((self.name, id(gevent.getcurrent())))
        self.work()

    def rest(self) -> None:
        """Record that it blocked."""
        self.log.append((self.name, 'rests'))


class TestJobs:
    """The handlers of all readable connections, run in one switch."""

    @staticmethod
    def on_hub(function: Callable[[], Any]) -> Any:
        """Call the function on the hub."""
        result = gevent.event.AsyncResult()
        current_reactor().call_soon(lambda: result.set(function()))
        return result.get()

    def test_wait_for_each_other_and_share_a_greenlet(self) -> None:
        log: list[Any] = []
        reactor = current_reactor()
        assert self.on_hub(lambda: [reactor.run(Task(log, name), 10) for name in 'abc'] + [*log]) == [True] * 3
        settle()
        assert [name for name, _ in log] == ['a', 'b', 'c']
        assert len({greenlet for _, greenlet in log}) == 1

    def test_are_run_at_once_when_they_have_much_to_work_on(self) -> None:
        log: list[Any] = []
        reactor = current_reactor()
        run = lambda name, size: (reactor.run(Task(log, name), size), len(log))
        assert self.on_hub(lambda: [run('a', BATCH - 1), run('b', 1)]) == [(True, 0), (False, 2)]
        assert [name for name, _ in log] == ['a', 'b']

    def test_one_that_blocks_is_notified_and_leaves_the_others_to_another_greenlet(self) -> None:
        log: list[Any] = []
        reactor, unblock = current_reactor(), gevent.event.Event()
        tasks = [Task(log, 'a'), Task(log, 'b', unblock.wait), Task(log, 'c')]
        self.on_hub(lambda: [reactor.run(task, 0) for task in tasks])
        settle()
        (_, first), (_, second), told, (_, third) = log
        assert (told, first == second, second == third) == (('b', 'rests'), True, False)
        unblock.set()
        settle()
        assert len(log) == 4

    def test_each_greenlet_knows_the_one_that_it_runs(self) -> None:
        found: list[Any] = []
        reactor, unblock = current_reactor(), gevent.event.Event()
        note = lambda: found.append(current_job())

        def block() -> None:
            unblock.wait()
            note()

        tasks = [Task([], 'a', note), Task([], 'b', block), Task([], 'c', note)]
        self.on_hub(lambda: [reactor.run(task, 0) for task in tasks])
        settle()
        assert found == [tasks[0], tasks[2]]
        unblock.set()
        settle()
        assert found[2] is tasks[1]
        assert current_job() is None

    def test_one_that_is_done_is_not_kept(self) -> None:
        workers: list[Any] = []

        def block() -> None:
            workers.append(gevent.getcurrent())
            gevent.sleep(0.001)

        for work in (lambda: None, block):
            log: list[Any] = []
            tasks = [Task(log, 'a', work)]
            gone = weakref.ref(tasks[0])
            self.on_hub(lambda tasks=tasks: current_reactor().run(tasks.pop(), 0))
            wait_until(lambda log=log: log)
            wait_until(lambda: all(worker.dead for worker in workers))
            gc.collect()
            assert gone() is None

    @pytest.mark.proves('B5')
    def test_messages_of_a_handler_leave_when_it_blocks(self) -> None:
        with joined() as pair:
            def handle(event: Any) -> None:
                pair.ws.send('working')
                pair.ws.send('on it')
                gevent.sleep(30)

            pair.ws.onmessage = handle
            _, client = pair.open()
            client.send(MESSAGE)
            assert client.receive_messages(2) == [b'working', b'on it']


class TestReactor:
    """The reactor of each hub."""

    def test_is_shared_by_all_greenlets_of_a_thread(self) -> None:
        assert gevent.spawn(current_reactor).get() is current_reactor()

    def test_is_another_in_another_thread(self) -> None:
        reactors: list[Reactor] = []

        def run() -> None:
            reactors.append(current_reactor())
            gevent.get_hub().destroy()

        run_threads(run)
        assert reactors[0] is not current_reactor()

    def test_is_created_again_with_a_new_hub(self) -> None:
        reactors: list[Reactor] = []

        def run() -> None:
            for _ in range(2):
                reactors.append(current_reactor())
                gevent.get_hub().destroy(destroy_loop=True)

        run_threads(run)
        assert reactors[0] is not reactors[1]

    def test_calls_soon_from_this_thread_and_from_others(self) -> None:
        calls: list[Any] = []
        reactor = current_reactor()
        note = lambda value: calls.append((value, threading.get_ident()))
        reactor.call_soon(note, 1)
        assert calls == []
        run_threads(lambda: reactor.call_soon(note, 2))
        wait_until(lambda: len(calls) == 2)
        assert calls == [(1, threading.get_ident()), (2, threading.get_ident())]

    def test_one_that_raises_does_not_stop_the_others(self) -> None:
        reactor, called = current_reactor(), []
        with hub_errors() as errors:
            run_threads(lambda: [reactor.call_soon(callback) for callback in (lambda: 1 // 0, lambda: called.append(1))])
            wait_until(lambda: called)
            assert 'ZeroDivisionError' in errors.getvalue()

    def test_posted_calls_are_made_in_batches_between_which_the_hub_works(self) -> None:
        reactor = current_reactor()
        log: list[Any] = []

        def take_long() -> None:
            reactor.loop.run_callback(log.append, 'hub')
            time.sleep(TURN)
            log.append('posted')

        run_threads(lambda: [reactor.call_soon(take_long) for _ in range(3)])
        wait_until(lambda: len(log) == 6)
        assert log == ['posted', 'hub'] * 3

    def test_calls_posted_to_a_hub_that_is_gone_are_dropped(self) -> None:
        reactors: list[Reactor] = []

        def run() -> None:
            reactors.append(current_reactor())
            gevent.get_hub().destroy(destroy_loop=True)

        run_threads(run)
        thing = Task([], 'a')
        gone = weakref.ref(thing)
        reactors[0].call_soon(thing.drain)
        del thing
        assert gone() is None

    def test_serves_in_a_thread_of_its_own(self) -> None:
        frames: list[Frame] = []

        def run() -> None:
            with joined() as pair:
                pair.ws.onmessage = lambda event: pair.ws.send(event.data)
                _, client = pair.open()
                client.send(MESSAGE)
                frames.append(client.receive_frame())
            gevent.get_hub().destroy()

        run_threads(run)
        assert frames == [Frame(TEXT, b'hello')]

    def test_a_socket_is_closed_by_a_thread_that_is_not_its_own(self) -> None:
        with joined() as pair:
            record = Record(pair.ws)
            ws, client = pair.open()
            run_threads(ws.close)
            client.send_close(client.receive_frame().code or 0)
            assert record.the_close().was_clean

    def test_drops_what_comes_once_its_hub_was_destroyed(self) -> None:
        reactors: list[Reactor] = []

        def run() -> None:
            reactors.append(current_reactor())
            run_out()
            # The thread gets another hub.
            assert current_reactor() is not reactors[0]
            run_out()

        run_threads(run)
        [reactor] = reactors
        assert not reactor.is_current
        calls: list[str] = []
        reactor.run_callback(calls.append, 'called')
        reactor.call_soon(calls.append, 'called')
        reactor.destroy()
        settle()
        assert calls == []

    def test_goes_with_its_thread_at_the_latest_with_the_next_one(self) -> None:
        reactors: list[Reactor] = []
        run_threads(lambda: reactors.append(current_reactor()))
        run_threads(lambda: reactors.append(current_reactor()))
        assert reactors[0].hub.loop is None
        assert reactors[1].hub.loop is not None
        reactors[1].destroy()

    def test_of_a_parent_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reactors: list[Reactor] = []
        life = reactor_module._Life()
        gone = weakref.ref(life)
        del life

        class Inherited:
            """A parent's reactor."""

            def is_inherited(self) -> bool:
                """Return True."""
                return True

        monkeypatch.setattr(reactor_module, '_reactors', [(gone, Inherited())])
        run_threads(lambda: reactors.append(current_reactor()))
        assert len(reactor_module._reactors) == 1
        for reactor in reactors:
            reactor.destroy()
