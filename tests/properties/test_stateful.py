"""Both ends of this library, on a network that hypothesis controls.

Any sequence of calls and failures must keep the promises. The network consists of two
Unix sockets and the state machine between them. It forwards bytes when a rule says so:
few, many, none, or the end. Nothing depends on time, so that every run with equal steps
has equal results.
"""

from __future__ import annotations

import sys
from typing import Any

import gevent.event
import hypothesis.strategies as st
import pytest
from gevent import socket
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from faye_websocket import Client, PermessageDeflate, WebSocket, WebSocketError
from faye_websocket.io.shutdown import open_sockets
from tests.support.inside import dispatcher_of, messages_waiting
from tests.support.local import Response, hub_errors, make_environ, settle, wait_until
from tests.support.wire import parse_head

#: A time longer than any run, so that no timer fires.
LONG = 600
MAX_BUFFERED = 150_000
LARGEST = 70_000
#: The limit of buffered bytes. A message is accepted, whatever its length, while no
#: more than a quarter of MAX_BUFFERED is buffered; the largest has twice its length as
#: UTF-8. Beside messages there are frame headers, control frames and the handshake.
MOST_BUFFERED = max(MAX_BUFFERED, MAX_BUFFERED // 4 + 2 * LARGEST) + 16_384

ends = st.sampled_from(['client', 'server'])
sizes = st.sampled_from([0, 1, 100, 126, 5000, LARGEST])
#: For steps that end everything, after which there is little to test.
seldom = st.sampled_from([False] * 7 + [True])


class Fault(Exception):
    """The exception that a handler raises on purpose."""


class End:
    """One of the two sockets, with a record of what was done with it."""

    def __init__(self, ws: Any, has_handlers: bool) -> None:
        self.ws = ws
        self.has_handlers = has_handlers
        self.events: list[Any] = []
        self.sent: list[str | bytes] = []
        self.received: list[str | bytes] = []
        self.pongs = self.pings = 0
        self.was_open = self.has_closed = False
        self.will_raise = False
        self.has_raised = False
        self.before = (0, 0, 0)
        self.gate = gevent.event.Event()
        self.gate.set()
        # A first call: without any, messages would be dropped after some time.
        assert dispatcher_of(ws).take_message() is None

    def listen(self) -> None:
        """Set the handlers, once."""
        types = ['open', 'error', 'close', 'drain'] + ['message'] * self.has_handlers
        for type in types:
            self.ws.on(type, self.handle)

    def handle(self, event: Any) -> None:
        """Handle any event: record it, and block or raise."""
        self.events.append(event)
        if event.type == 'message':
            self.received.append(event.data)
        self.gate.wait()
        if self.will_raise and event.type == 'message':
            self.will_raise, self.has_raised = False, True
            raise Fault

    def receive(self) -> None:
        """Receive the messages that are ready, in greenlet style."""
        try:
            while (message := self.ws.receive(timeout=0)) is not None:
                self.received.append(message)
        except (TimeoutError, WebSocketError):
            # There is no message now, or none will come, or the connection never
            # opened.
            pass

    @property
    def waiting(self) -> int:
        """The number of messages that no handler has had yet."""
        return len([*messages_waiting(self.ws)])

    @property
    def room(self) -> tuple[int, int]:
        """The bytes that may still be queued, as the dispatcher counts, and those
        queued.
        """
        return dispatcher_of(self.ws).room, sum(map(sys.getsizeof, messages_waiting(self.ws)))

    @property
    def the_close(self) -> Any:
        """The close event, or ``None``."""
        return next((event for event in self.events if event.type == 'close'), None)


class Wire:
    """One direction of the network, with the bytes that the target does not accept yet.
    """

    def __init__(self, source: Any, target: Any) -> None:
        self.source = source
        self.target = target
        self.waiting = b''
        self.has_ended = False

    def carry(self, size: int) -> bool:
        """Forward up to this many bytes, or the end; return whether there was anything.
        """
        if self.has_ended:
            return False
        try:
            if not self.waiting:
                self.waiting = self.source.recv(size)
                if not self.waiting:
                    self.finish()
                    return True
            sent = self.target.send(self.waiting[:size])
        except BlockingIOError:
            return False
        except OSError:
            # The source has reset the connection, or the target is gone.
            self.finish()
            return True
        self.waiting = self.waiting[sent:]
        return True

    def finish(self) -> None:
        """End this direction."""
        self.has_ended = True
        try:
            self.target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


# These have names because hypothesis 6.100 parses the whole module once more for each
# lambda that it looks at, which takes a minute in all.
def is_to_be_accepted(machine: TwoEnds) -> bool:
    """Return whether the server has not accepted its socket yet."""
    return not machine.is_accepted


def has_silent_ends(machine: TwoEnds) -> bool:
    """Return whether an end has no handlers yet."""
    return bool(machine.silent)


class TwoEnds(RuleBasedStateMachine):
    """The state machine: rules are acts of users and networks, invariants are the
    promises.
    """

    @initialize(
        overflow=st.sampled_from(['close', 'drop']), compresses=st.booleans(), max_queue=st.integers(1, 5),
        max_queued=st.sampled_from([0, 500, 2**24]),
        has_handlers=st.tuples(st.booleans(), st.booleans()), ends_well=st.booleans(), is_open=st.booleans())
    def connect(
        self, overflow: str, compresses: bool, max_queue: int, max_queued: int, has_handlers: tuple[bool, bool],
        ends_well: bool, is_open: bool
    ) -> None:
        """Receive the client's request.

        It may be answered at once, or after other rules.
        """
        self.hub_errors = hub_errors()
        self.errors = self.hub_errors.__enter__()
        self.ends_well = ends_well
        self.max_queue = max_queue
        self.max_queued = max_queued
        self.registered = len(open_sockets)
        self.was_cut = False
        options: dict[str, Any] = {
            'extensions': [PermessageDeflate(threshold=100)] if compresses else [], 'overflow': overflow,
            'max_queue': max_queue, 'max_queued': max_queued, 'close_timeout': LONG, 'max_buffered': MAX_BUFFERED}
        client_end, self.near = socket.socketpair()
        self.far, server_end = socket.socketpair()
        for sock in (client_end, server_end, self.near, self.far):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        client = Client('ws://example.com/', socket=client_end, timeout=LONG, **options)
        head = wait_until(lambda: self.near.recv(65536))
        for sock in (self.near, self.far):
            sock.setblocking(False)
        self.environ = make_environ(server_end, parse_head(b'HTTP/1.1 101\r\n' + head.split(b'\r\n', 1)[1]).headers)
        self.server_end = server_end
        self.is_accepted = False
        self.client = End(client, has_handlers[0])
        self.server = End(WebSocket(self.environ, **options), has_handlers[1])
        self.ends = {'client': self.client, 'server': self.server}
        self.wires = {'client': Wire(self.near, self.far), 'server': Wire(self.far, self.near)}
        self.silent = {'client', 'server'}
        if is_open:
            self.listen()
            self.accept()
            self.flow_out()

    # ---- acts of the users

    @precondition(is_to_be_accepted)
    @rule()
    def accept(self) -> None:
        """Return the socket from the WSGI application."""
        self.is_accepted = True
        response = Response()
        assert list(self.server.ws(self.environ, response)) == []
        self.server_end.sendall(f'HTTP/1.1 {response.status}\r\n\r\n'.encode())

    @precondition(has_silent_ends)
    @rule(data=st.data())
    def set_handlers(self, data: st.DataObject) -> None:
        """Set the handlers of an end, perhaps late."""
        name = data.draw(st.sampled_from(sorted(self.silent)))
        self.silent.remove(name)
        self.ends[name].listen()

    def listen(self) -> None:
        for name in sorted(self.silent):
            self.ends[name].listen()
        self.silent.clear()

    @rule(name=ends, is_text=st.booleans(), size=sizes, count=st.sampled_from([1, 1, 3, 10, 30]))
    def send(self, name: str, is_text: bool, size: int, count: int) -> None:
        """Send one message, or a burst."""
        end = self.ends[name]
        for number in range(count):
            text = f'{len(end.sent)}.{number}'.ljust(size, '\xe9' if number % 2 else 'x')[:size]
            message = text if is_text else text.encode('latin-1')
            state = end.ws.ready_state
            was_sent = end.ws.send(message)
            assert isinstance(was_sent, bool)
            assert not (was_sent and state > end.ws.OPEN)
            if was_sent:
                end.sent.append(message)

    @rule(name=ends, payload=st.sampled_from(['', 'a', 'b']))
    def ping(self, name: str, payload: str) -> None:
        end = self.ends[name]

        def count() -> None:
            end.pongs += 1

        state = end.ws.ready_state
        was_sent = end.ws.ping(payload, count)
        assert not (was_sent and state > end.ws.OPEN)
        end.pings += was_sent

    @rule(name=ends)
    def pong(self, name: str) -> None:
        self.ends[name].ws.pong('unasked')

    def do_close(self, end: End, code: int) -> None:
        """Close an end. A client that is not open yet fails its connection."""
        if end is self.client and end.ws.ready_state == end.ws.CONNECTING:
            self.was_cut = True
        if end.ws.ready_state <= end.ws.OPEN:
            end.has_closed = True
        end.ws.close(code, 'bye')

    @rule(name=ends, is_blocked=st.booleans())
    def block_handler(self, name: str, is_blocked: bool) -> None:
        if is_blocked:
            self.ends[name].gate.clear()
        else:
            self.ends[name].gate.set()

    @rule(name=ends)
    def receive(self, name: str) -> None:
        if self.is_accepted and not self.ends[name].has_handlers:
            self.ends[name].receive()

    # ---- acts of the network

    @rule(name=ends, size=st.sampled_from([1, 2, 7, 200, 65536]), times=st.sampled_from([1, 5, 50]))
    def carry(self, name: str, size: int, times: int) -> None:
        """Forward some bytes, once or several times."""
        for _ in range(times):
            if not self.wires[name].carry(size):
                break
            settle()

    @rule()
    def flow(self) -> None:
        """Forward everything in both directions."""
        self.flow_out()

    def flow_out(self) -> None:
        settle()
        # Not any(), with which one direction would wait for the other.
        while sum([wire.carry(65536) for wire in self.wires.values()]):
            settle()

    @rule(name=ends, what=st.sampled_from(['close', 'raise', 'half close', 'cut']), is_sure=seldom)
    def end(self, name: str, what: str, is_sure: bool) -> None:
        """End the connection in one of several ways.

        It happens seldom, since other rules have no effect after it.
        """
        if not is_sure:
            return
        if what == 'close':
            self.do_close(self.ends[name], 4999)
        elif what == 'raise':
            self.ends[name].will_raise = self.ends[name].has_handlers
        elif what == 'half close':
            self.was_cut = True
            self.wires[name].finish()
        else:
            self.do_cut()

    def do_cut(self) -> None:
        """Break the connection: with RST if bytes were on their way, and with EOF
        otherwise.
        """
        self.was_cut = True
        for wire in self.wires.values():
            wire.has_ended = True
        self.near.close()
        self.far.close()

    # ---- the promises

    @invariant()
    def the_hub_is_well(self) -> None:
        settle()
        assert self.errors.getvalue() == ''
        for end in self.ends.values():
            end.was_open = end.was_open or end.ws.ready_state == end.ws.OPEN

    @invariant()
    def messages_arrive_in_order(self) -> None:
        for end, peer in ((self.client, self.server), (self.server, self.client)):
            assert end.received == peer.sent[:len(end.received)]
            assert end.pongs <= end.pings

    @invariant()
    def buffers_are_bounded(self) -> None:
        for end in self.ends.values():
            assert 0 <= end.ws.buffered_amount <= MOST_BUFFERED
            # Only the messages of one read may exceed max_queue. After that, none are
            # added until one is taken.
            now = (len(end.events), len(end.received), end.waiting)
            if now[:2] == end.before[:2] and end.before[2] > self.max_queue:
                assert now[2] <= end.before[2]
            end.before = now
            room, queued = end.room
            assert room <= self.max_queued - queued
            assert room == self.max_queued - queued or not dispatcher_of(end.ws).is_full
            # One message may always be queued.
            assert end.waiting <= 1 or queued <= self.max_queued + sys.getsizeof('\0' * LARGEST) + 4 * LARGEST

    @invariant()
    def close_comes_once_and_last(self) -> None:
        for end in self.ends.values():
            types = [event.type for event in end.events]
            assert types.count('close') <= 1
            assert 'close' not in types[:-1]
            assert types.count('open') <= 1
            if 'close' in types:
                assert end.ws.ready_state == end.ws.CLOSED
                assert end.ws.send('late') is False

    @invariant()
    def codes_are_true(self) -> None:
        for end, peer in ((self.client, self.server), (self.server, self.client)):
            event = end.the_close
            if event is None:
                continue
            assert event.code in (1006, 1011, 1013, 3000, 4999)
            assert event.was_clean is False or event.code != 1006
            # An end that has too much to send cannot report that before its handshake
            # is over.
            assert event.code != 1006 or self.was_cut or not peer.was_open
            # 1011 and 1013 come from the end that has a fault or a slow peer; other
            # codes from the end that closes.
            assert event.code not in (3000, 4999) or end.has_closed or peer.has_closed
            assert event.code != 1011 or end.has_raised or peer.has_raised

    def teardown(self) -> None:
        """Set all handlers, and close the connection well, or break it."""
        if not hasattr(self, 'ends'):
            return
        try:
            self.finish()
        finally:
            for sock in (self.near, self.far, self.server_end):
                sock.close()
            self.hub_errors.__exit__(None, None, None)

    def finish(self) -> None:
        self.listen()
        for end in self.ends.values():
            end.gate.set()
            end.will_raise = False
        if not self.is_accepted:
            self.accept()
        if self.ends_well:
            self.close_well()
        self.do_cut()
        for end in self.ends.values():
            # An end that receives nothing while its queue is full does not see the end,
            # which comes after the queue.
            wait_until(lambda end=end: self.read_out(end) or end.the_close, 'the close event')
            self.read_out(end)
        self.messages_arrive_in_order()
        self.close_comes_once_and_last()
        self.codes_are_true()
        for end, peer in ((self.client, self.server), (self.server, self.client)):
            if end.the_close.was_clean and peer.has_closed and not (end.has_closed or end.has_raised or peer.has_raised):
                assert end.received == peer.sent
            wait_until(lambda end=end: end.ws.buffered_amount == 0, 'all bytes gone')
        wait_until(lambda: len(open_sockets) <= self.registered, 'the open_sockets empty')

    def close_well(self) -> None:
        """Forward everything, and close the client.

        Unless something went wrong before, the close is clean, and nothing is lost.
        """
        before = None
        while before != (before := [len(end.received) for end in self.ends.values()]):
            self.flow_out()
            for end in self.ends.values():
                self.read_out(end)
        is_well = not self.was_cut and all(
            end.ws.ready_state == end.ws.OPEN and not end.has_raised for end in self.ends.values())
        if not is_well:
            return
        assert [end.received for end in self.ends.values()] == [self.server.sent, self.client.sent]
        # Of buffered pings with equal payloads one is sent, and of buffered pongs the
        # last. But each ping that was sent gets a pong.
        for name, end in self.ends.items():
            pongs = end.pongs
            self.ping(name, 'alone')
            self.flow_out()
            assert end.pongs == pongs + 1
        self.do_close(self.client, 3000)
        self.flow_out()
        for end in self.ends.values():
            event = wait_until(lambda end=end: end.the_close, 'the close event')
            assert (event.code, event.was_clean) == (3000, True)
        # Neither end waits for the other to end the connection.
        wait_until(lambda: self.flow_out() or all(wire.has_ended for wire in self.wires.values()), 'the end of the connection')

    def read_out(self, end: End) -> None:
        if not end.has_handlers:
            end.receive()


TestTwoEnds = pytest.mark.proves('B1', 'B2', 'B3', 'B4', 'L2', 'L4', 'L6', 'L8')(TwoEnds.TestCase)
# Not shrunk: a run that waits for an event that never comes is slow, and many of them
# would take longer than a test may.
TestTwoEnds.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, phases=[Phase.reuse, Phase.generate])
