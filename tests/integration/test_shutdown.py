"""The stop of a server and of a worker: every socket is closed with 1001.

Half of these tests have clients that answer the close frame, as browsers do; the others
have clients that do nothing.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import READY_PATH, SERVERS, Server, serve
from tests.support.waiting import until_in_time, wait_until
from tests.support.wire import CLOSE, TEXT, Frame, RawClient, http_get, parse_frames

SOCKETS = 100

#: H10: "the worker is gone within 2 s".
GONE_WITHIN = 2.0

#: The requests after which gunicorn replaces its worker: one for readiness, the
#: sockets, and a few more.
MAX_REQUESTS = SOCKETS + 3


@dataclass(frozen=True)
class Case:
    """A server, the behaviour of its clients, and the way in which its worker ends."""

    kind: str
    tls: bool
    answering: bool
    end: Callable[[Server], None]
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f'{self.end.__name__}-{self.kind}-{"tls" if self.tls else "plain"}-{"answer" if self.answering else "silent"}'


@dataclass(frozen=True)
class Recording:
    """The recorded end of a worker and of its sockets."""

    paths: list[str]
    frames: list[list[Frame]]
    rest: bytes
    seconds: float
    closed: list[tuple[str, bool]]
    requests: list[tuple[str, str]]
    error_log: str


def sigterm(server: Server) -> None:
    """Stop the server."""
    os.kill(server.pid, signal.SIGTERM)


def sighup(server: Server) -> None:
    """Make gunicorn start a new worker and stop the old one."""
    os.kill(server.pid, signal.SIGHUP)


def max_requests(server: Server) -> None:
    """Send the requests after which the worker stops by itself."""
    while len(server.requests()) < MAX_REQUESTS:
        http_get(server, READY_PATH)


@contextmanager
def idle_sockets(server: Server) -> Iterator[list[RawClient]]:
    """Open a hundred sockets, each at a path of its own."""
    with ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server, f'/idle-{index}')) for index in range(SOCKETS)]
        assert {client.handshake().status for client in clients} == {101}
        yield clients


def record(case: Case, server: Server) -> Recording:
    """Open the sockets, end the worker, and record everything once it is gone."""
    worker = server.worker_pid()
    with idle_sockets(server) as clients:
        began = time.monotonic()
        case.end(server)
        for client in clients if case.answering else []:
            client.receive_frame()
            client.send_close(1001)
        wait_until(lambda: server.is_gone(worker), 'the worker gone')
        seconds = time.monotonic() - began
        seen = [parse_frames(transcript(client)) for client in clients]
    # gunicorn waits 30 s for a worker that is stopped while it starts.
    if case.end is not sigterm:
        http_get(server, READY_PATH)
    return Recording(
        [client.path for client in clients], [frames for frames, _ in seen], b''.join(rest for _, rest in seen), seconds,
        closed=[(event['path'], event['was_clean']) for event in server.events(type='close')],
        requests=[request for request in server.requests() if request[0] != READY_PATH],
        error_log=server.error_log())


def transcript(client: RawClient) -> bytes:
    """Return all bytes that the client receives after the handshake."""
    client.read_to_eof()
    return client.transcript


def cases(end: Callable[[Server], None], *kinds: str, options: tuple[str, ...] = ()) -> list[Any]:
    """Return each of these servers, plain and TLS, with both kinds of clients."""
    return [pytest.param(case, id=str(case)) for kind in kinds for tls in (False, True) for answering in (True, False)
            for case in [Case(kind, tls, answering, end, options)]]


REPLACED = [
    *cases(sighup, 'gevent', 'gevent_pywsgi'),
    # gunicorn's gevent_pywsgi worker counts no requests, so that it never ends by
    # itself.
    *cases(max_requests, 'gevent', options=('--max-requests', str(MAX_REQUESTS))),
]
ALL = [*cases(sigterm, *SERVERS), *REPLACED]

every_end = pytest.mark.parametrize('recording', ALL, indirect=True)


@pytest.fixture(scope='module')
def recording(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Recording:
    """The recording of a case, made once for several tests."""
    case: Case = request.param

    def make() -> Recording:
        with serve(case.kind, 'tests.support.apps:control', tls=case.tls, options=case.options,
                   tmp_path=tmp_path_factory.mktemp('shutdown')) as server:
            return record(case, server)

    return until_in_time(make, lambda made: made.seconds < GONE_WITHIN)


class TestEnd:
    """The records of the clients, the application and the operator."""

    @pytest.mark.proves('H10')
    @every_end
    def test_every_client_gets_one_close_frame_with_1001(self, recording: Recording) -> None:
        codes = [[(frame.opcode, frame.code) for frame in frames] for frames in recording.frames]
        assert codes == [[(CLOSE, 1001)]] * SOCKETS
        assert recording.rest == b''

    @pytest.mark.proves('H10')
    @every_end
    def test_every_onclose_fires_once(self, recording: Recording) -> None:
        assert sorted(path for path, _ in recording.closed) == sorted(recording.paths)

    @pytest.mark.proves('H10')
    @every_end
    def test_the_worker_is_gone_within_2_s(self, recording: Recording) -> None:
        assert recording.seconds < GONE_WITHIN

    @pytest.mark.proves('H3', 'H10')
    @every_end
    def test_the_access_log_has_one_line_with_101_for_each_socket(self, recording: Recording) -> None:
        assert sorted(recording.requests) == sorted((path, '101') for path in recording.paths)

    @pytest.mark.proves('H2', 'H10')
    @every_end
    def test_nothing_is_reported_as_an_error(self, recording: Recording) -> None:
        assert not [word for word in ('Traceback', 'ERROR', 'WARNING', 'Exception') if word in recording.error_log]

    @pytest.mark.proves('H10')
    @pytest.mark.parametrize('recording', [case for case in ALL if 'answer' in str(case.id)], indirect=True)
    def test_the_close_is_clean_if_the_client_answers(self, recording: Recording) -> None:
        assert {was_clean for _, was_clean in recording.closed} == {True}


@pytest.mark.proves('H10')
@pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
@pytest.mark.parametrize('kind', SERVERS)
def test_sigterm_ends_a_server_without_sockets_with_status_0(
        kind: str, tls: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    def end() -> float:
        with serve(kind, 'tests.support.apps:control', tls=tls, tmp_path=tmp_path_factory.mktemp('end')) as server:
            began = time.monotonic()
            assert server.stop() == 0
            return time.monotonic() - began

    assert until_in_time(end, lambda seconds: seconds < GONE_WITHIN) < GONE_WITHIN


@pytest.mark.proves('H10')
@pytest.mark.parametrize('kind', ['gevent', 'gevent_pywsgi'])
def test_the_new_worker_takes_sockets_while_the_old_one_closes_its_own(kind: str, tmp_path: Path) -> None:
    with serve(kind, 'tests.support.apps:control', tmp_path=tmp_path) as server:
        old = server.worker_pid()
        with RawClient(server, '/old') as before:
            before.handshake()
            sighup(server)
            assert before.receive_frame().code == 1001
            wait_until(lambda: server.worker_pid() != old, 'the new worker')
            with RawClient(server, '/new') as client:
                client.handshake()
                client.send_frame(TEXT, b'hello')
                assert client.receive_frame() == Frame(TEXT, b'hello')
            assert server.wait_for_event('/new', 'close')['pid'] != old
