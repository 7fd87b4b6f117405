"""Flask and Django under every server, with the bytes on the wire and the logs."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.processes import Endpoint, Process, own_directory
from tests.support.programs import require_module
from tests.support.servers import SERVERS, Server, serve
from tests.support.waiting import wait_until
from tests.support.wire import (
    ACCEPT,
    CLOSE,
    RFC_6455,
    TEXT,
    Frame,
    Head,
    RawClient,
    close_payload,
    http_get,
    request_head,
)

#: The application's module, and the package that it needs.
FRAMEWORKS = {'flask': ('flask', 'flask_login', 'sqlalchemy'), 'django': ('django',)}


#: Headers that Django's own middleware adds, and those of a function in Flask.
ADDED = ({'x-frame-options', 'x-content-type-options', 'referrer-policy', 'vary'}, {'x-request-id', 'server-timing'})


class Setting(NamedTuple):
    """A framework under a server."""

    framework: str
    kind: str
    tls: bool


# Django sees no more of TLS than Flask does.
SETTINGS = [pytest.param(Setting(framework, kind, tls), id=f'{framework}-{kind}-{"tls" if tls else "plain"}')
            for framework in FRAMEWORKS for kind in SERVERS for tls in (False, True)
            if not tls or framework == 'flask' or kind == 'gevent']


@pytest.fixture(scope='module')
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of this module's servers."""
    return tmp_path_factory.mktemp('frameworks')


@contextmanager
def serving(setting: Setting, directory: Path, app: str = 'around') -> Iterator[Server]:
    """Serve the framework's application with its own database."""
    for module in FRAMEWORKS[setting.framework]:
        require_module(module, 'pip install faye-websocket[test]')
    database = own_directory(directory, 'database') / 'db'
    with serve(setting.kind, f'tests.support.{setting.framework}_app:{app}', tls=setting.tls, tmp_path=directory,
               env={'FAYE_TEST_DATABASE': str(database)}) as server:
        yield server


@pytest.fixture(scope='module')
def servers(directory: Path) -> Iterator[dict[Setting, Server]]:
    """The servers of this module, each started at its first use."""
    with ExitStack() as stack:
        class Servers(dict[Setting, Server]):
            def __missing__(self, setting: Setting) -> Server:
                self[setting] = stack.enter_context(serving(setting, directory))
                return self[setting]

        started = Servers()
        yield started
        # Stop all at once, because each takes a second.
        for server in started.values():
            server.process.popen.terminate()


@pytest.fixture
def server(servers: dict[Setting, Server], request: pytest.FixtureRequest) -> Server:
    """The server of this test's setting."""
    return servers[request.param]


every_setting = pytest.mark.parametrize('server', SETTINGS, indirect=True)


def with_cookies(cookies: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the headers of a handshake with these cookies."""
    return (*RFC_6455, *cookie_header(cookies))


def cookie_header(cookies: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return (('Cookie', '; '.join(f'{name}={value}' for name, value in cookies.items())),) if cookies else ()


def cookies_of(head: Head) -> dict[str, str]:
    """Return the cookies that a response sets."""
    jar: SimpleCookie = SimpleCookie()
    for name, value in head.headers:
        if name.lower() == 'set-cookie':
            jar.load(value)
    return {name: morsel.value for name, morsel in jar.items()}


def request(endpoint: Endpoint, line: str, cookies: dict[str, str], **headers: str) -> Head:
    """Return the header of the response to a request without a body."""
    method, path = line.split()
    fields = [('Host', 'example.com'), ('Connection', 'close'), ('Content-Length', '0'),
              *((name.replace('_', '-'), value) for name, value in headers.items()), *cookie_header(cookies)]
    with RawClient(endpoint, path) as client:
        client.send(request_head(path, fields).replace(b'GET', method.encode(), 1))
        return client.receive_head()


def assert_is_clean(server: Server) -> None:
    """Check that no error was logged."""
    assert not re.search(r'Traceback|ERROR|Exception', server.error_log()), server.error_log()


class TestAView:
    @pytest.mark.proves('F1', 'H5', 'H1', 'H3', 'V4')
    @every_setting
    def test_has_url_arguments_and_a_session_and_returns_a_socket(self, server: Server) -> None:
        cookies: dict[str, str] = {}
        for visit in (1, 2):
            with RawClient(server, '/rooms/attic/7', with_cookies(cookies)) as client:
                head = client.handshake()
                assert (head.status, head.get('Sec-WebSocket-Accept')) == (101, ACCEPT)
                # The session's cookie is on the 101, once, with the headers of
                # middleware, and none that describes a body.
                assert [name.lower() for name, _ in head.headers].count('set-cookie') == 1
                assert {'upgrade', 'connection', 'sec-websocket-accept'} <= head.names()
                assert head.names() >= ADDED['x-request-id' in head.names()]
                assert not {'content-length', 'content-type', 'transfer-encoding', 'date', 'server', 'etag'} & head.names()
                cookies |= cookies_of(head)
                assert client.receive_frame() == Frame(TEXT, f'attic 7 {visit}'.encode())
                client.send_frame(TEXT, b'hello')
                assert client.receive_frame() == Frame(TEXT, b'attic: hello')
                client.send_close(1000)
                assert client.receive_frame() == Frame(CLOSE, close_payload(1000))
                assert client.read_to_eof() == b''
        wait_until(lambda: server.requests('/rooms/attic/7') == [('/rooms/attic/7', '101')] * 2, 'the access log')
        assert_is_clean(server)

    @pytest.mark.proves('H4')
    @every_setting
    def test_can_agree_on_a_subprotocol_and_take_frames_behind_the_handshake(self, server: Server) -> None:
        headers = (*with_cookies({}), ('Sec-WebSocket-Protocol', 'irc, chat'))
        frame = b'\x81\x85\x00\x00\x00\x00early'
        with RawClient(server, '/rooms/cellar/0', headers) as client:
            assert client.handshake(frame).get('Sec-WebSocket-Protocol') == 'chat'
            assert client.receive_frame().payload == b'cellar 0 1'
            assert client.receive_frame() == Frame(TEXT, b'cellar: early')

    @pytest.mark.proves('F1')
    @every_setting
    def test_may_need_a_login(self, server: Server) -> None:
        is_django = 'django' in ' '.join(server.process.command)
        with RawClient(server, '/private', with_cookies({})) as client:
            assert client.handshake().status == (302 if is_django else 401)
        if is_django:
            # CSRF rules are those of every Django project: a POST without a token is
            # refused.
            assert request(server, 'POST /login/ada', {}).status == 403
            cookies = cookies_of(request(server, 'GET /', {}))
            origin = {'Referer': 'https://example.com/'} if server.certificate else {}
            head = request(server, 'POST /login/ada', cookies, X_CSRFToken=cookies['csrftoken'], **origin)
            assert head.status == 200
        else:
            head = request(server, 'GET /login/ada', {})
            assert head.status == 302
        with RawClient(server, '/private', with_cookies(cookies_of(head))) as client:
            assert client.handshake().status == 101
            assert client.receive_frame() == Frame(TEXT, b'hello, ada')

    @every_setting
    def test_that_fails_behind_its_socket_is_an_http_error(self, server: Server) -> None:
        with RawClient(server, '/fault', with_cookies({})) as client:
            head = client.handshake()
            assert head.status == 500
            # It is followed by the framework's error page, and by no frame.
            assert b'Server Error' in client.receive(int(head.get('Content-Length') or 0))
            client.finish_sending()
            assert client.read_to_eof() == b''
        forget_the_fault(server)

    @every_setting
    def test_gets_all_that_the_middleware_does_not_take(self, server: Server) -> None:
        with RawClient(server, '/echo', (*with_cookies({}), ('Sec-WebSocket-Protocol', 'chat'))) as client:
            head = client.handshake()
            assert (head.status, head.get('Sec-WebSocket-Protocol')) == (101, 'chat')
            client.send_frame(TEXT, b'hello')
            assert client.receive_frame() == Frame(TEXT, b'hello')
            client.send_close(1000)
            assert client.receive_frame() == Frame(CLOSE, close_payload(1000))
            assert client.read_to_eof() == b''
        assert http_get(server, '/echo')[0].status == 404
        assert request(server, 'GET /', {}).status == 200


@pytest.mark.proves('V3', 'V4')
@pytest.mark.parametrize('kind', SERVERS)
def test_a_handler_of_flask_runs_in_the_context_of_its_view(kind: str, servers: dict[Setting, Server]) -> None:
    server = servers[Setting('flask', kind, False)]
    cookies = cookies_of(request(server, 'GET /login/ada', {}))
    clients = []
    with ExitStack() as stack:
        for name in ('attic', 'cellar'):
            client = stack.enter_context(RawClient(server, f'/here/{name}?q={name[0]}', with_cookies(cookies)))
            assert client.handshake().status == 101
            clients.append((name, client))
        for name, client in clients * 2:
            client.send_frame(TEXT, b'hello')
            expected = f'hello: /here/{name} {name[0]} {name} 7 ada tests.support.flask_app /'
            assert client.receive_frame().payload.decode() == expected
    headers = (*with_cookies(cookies), ('Origin', 'http://evil.example'), ('X-Request-ID', '9'))
    with RawClient(server, '/here/attic?q=a', headers) as client:
        head = client.handshake()
        assert (head.status, head.get('X-Request-ID'), head.get('Connection')) == (403, '9', 'close')
        assert client.read_to_eof() == b'this origin is not allowed\n'
    assert_is_clean(server)


@pytest.mark.proves('V3')
@pytest.mark.parametrize('kind', SERVERS)
def test_a_handler_of_django_leaves_no_database_connection_behind(kind: str, servers: dict[Setting, Server]) -> None:
    server = servers[Setting('django', kind, False)]
    with ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server, '/asking', RFC_6455)) for _ in range(200)]
        for client in clients:
            assert client.handshake().status == 101
        for client in clients:
            client.send_frame(TEXT, b'how many?')
        for client in clients:
            assert client.receive_frame().payload.isdigit()
        assert int(http_get(server, '/databases')[1]) <= 1
    assert_is_clean(server)


@pytest.mark.proves('E7', 'V4')
@pytest.mark.parametrize('kind', SERVERS)
def test_a_view_of_django_returns_an_event_source(kind: str, servers: dict[Setting, Server]) -> None:
    server = servers[Setting('django', kind, False)]
    with RawClient(server, '/events', [('Connection', 'close')]) as client:
        client.send(request_head('/events', [('Host', 'example.com'), ('Accept', 'text/event-stream')]))
        head = client.receive_head()
        assert (head.status, head.get('Content-Type')) == (200, 'text/event-stream')
        assert 'x-frame-options' in head.names()
        assert client.read_to_eof() == b'retry: 5000\r\ndata: hello\r\n\r\n'


# pywsgi runs without monkey-patching here, so that an async view runs in an OS thread
# of its own, and blocks it.
@pytest.mark.parametrize(('kind', 'path'), [
    *((kind, '/hold/by-hand') for kind in SERVERS), *((kind, '/hold/async') for kind in SERVERS[1:])])
def test_a_view_of_django_returns_a_socket_while_another_request_is_in_an_event_loop(
        kind: str, path: str, servers: dict[Setting, Server]) -> None:
    server = servers[Setting('django', kind, False)]
    with RawClient(server, path, [('Connection', 'close')]) as other:
        other.send(request_head(path, [('Host', 'example.com'), ('Connection', 'close')]))
        wait_until(lambda: request(server, 'GET /has-held', {}).status == 200, 'the other request')
        with RawClient(server, '/plain', RFC_6455) as client:
            head = client.handshake()
            # First the server waits for a request that is held.
            assert request(server, 'GET /let-go', {}).status == 200
            assert head.status == 101
            client.send_frame(TEXT, b'hello')
            assert client.receive_frame() == Frame(TEXT, b'hello')
        assert other.receive_head().status == 200
        assert other.read_to_eof().endswith(b'held')


def forget_the_fault(server: Server) -> None:
    """Remove the deliberate fault from the log, so that later tests do not find it."""
    wait_until(lambda: 'RuntimeError: a fault' in server.error_log() or 'django' in ' '.join(server.process.command), 'the log')
    server.process.stderr.write_text(re.sub(r'Traceback|ERROR|Exception', '', server.error_log()))


class TestADatabasePoolOfFive:
    @pytest.mark.proves('F2')
    @pytest.mark.parametrize('kind', SERVERS)
    def test_serves_requests_beside_200_sockets(self, kind: str, directory: Path) -> None:
        with serving(Setting('flask', kind, False), directory, 'app') as server, ExitStack() as stack:
            for _ in range(200):
                client = stack.enter_context(RawClient(server, '/stored', with_cookies({})))
                assert client.handshake().status == 101
                assert client.receive_frame() == Frame(TEXT, b'42')
            for _ in range(20):
                head, body = http_get(server)
                assert (head.status, body) == (200, b'the answer is 42')
            assert_is_clean(server)

    def test_is_used_up_by_sockets_that_keep_their_requests(self, directory: Path) -> None:
        with serving(Setting('flask', 'gevent', False), directory, 'app') as server, ExitStack() as stack:
            for _ in range(5):
                client = stack.enter_context(RawClient(server, '/kept', with_cookies({})))
                assert client.handshake().status == 101
                assert client.receive_frame() == Frame(TEXT, b'42')
            assert http_get(server)[0].status == 500
            client.close()
            wait_until(lambda: http_get(server)[0].status == 200, 'a connection given back')


class TestADevelopmentServer:
    @pytest.mark.proves('F5', 'V1')
    def test_of_werkzeug_serves_a_room(self, tmp_path: Path) -> None:
        command = [sys.executable, '-m', 'flask', '--app', 'tests.support.flask_app:app', 'run', '--port']
        with running(command, tmp_path) as (process, endpoint):
            enter_the_attic(endpoint)
            assert 'Traceback' not in process.output()

    @pytest.mark.proves('V1')
    def test_of_django_serves_a_room(self, tmp_path: Path) -> None:
        program = ('import sys, tests.support.django_app; from django.core.management import call_command; '
                   'call_command("runserver", "127.0.0.1:" + sys.argv[1], use_reloader=False, skip_checks=True)')
        with running([sys.executable, '-c', program], tmp_path) as (process, endpoint):
            enter_the_attic(endpoint)
            assert 'Traceback' not in process.output()


def enter_the_attic(endpoint: Endpoint) -> None:
    """Enter a room, and leave it, beside a page."""
    with RawClient(endpoint, '/rooms/attic/7', with_cookies({})) as client:
        head = client.handshake()
        assert head.status == 101
        assert 'session' in str(head.get('Set-Cookie'))
        assert client.receive_frame() == Frame(TEXT, b'attic 7 1')
        assert http_get(endpoint, '/')[0].status == 200
        client.send_close()
        assert client.receive_frame().code == 1000
        assert client.read_to_eof() == b''


@contextmanager
def running(command: list[str], tmp_path: Path) -> Iterator[tuple[Process, Endpoint]]:
    """Run a development server on the port that its command still lacks."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port = listener.getsockname()[1]
    env = {'FAYE_TEST_DEBUG': '1', 'FAYE_TEST_DATABASE': str(tmp_path / 'database')}
    process = Process([*command, str(port)], own_directory(tmp_path, 'server'), env)
    endpoint = Endpoint(('127.0.0.1', port))
    try:
        process.wait_for_start(lambda: accepts(endpoint))
        yield process, endpoint
    finally:
        process.stop()


def accepts(endpoint: Endpoint) -> bool:
    """Return whether a program listens on the port."""
    try:
        endpoint.connect().close()
    except OSError:
        return False
    return True
