"""The framework examples, started by the commands in their first comments."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.processes import ROOT, Endpoint, Process, own_directory, read_text
from tests.support.programs import give_up, require_module
from tests.support.servers import LISTENING
from tests.support.waiting import wait_until
from tests.support.wire import CLOSE, RFC_6455, TEXT, Frame, RawClient, close_payload

EXAMPLES = ROOT / 'examples'
COMMANDS = {'pywsgi': re.compile(r'Run it with: (.+?)(?:"""|$)', re.MULTILINE),
            'gunicorn': re.compile(r'Under gunicorn: (.+)$', re.MULTILINE)}

every_server = pytest.mark.parametrize('server', list(COMMANDS))


def command_of(example: str, server: str) -> list[str]:
    """Return the documented command with the scripts of this Python."""
    found = COMMANDS[server].search((EXAMPLES / example).read_text())
    assert found, f'{example} does not say how to run it under {server}'
    program, *arguments = shlex.split(found[1])
    return [sys.executable if program == 'python' else str(Path(sys.executable).with_name(program)), *arguments]


@contextmanager
def running(example: str, server: str, tmp_path: Path, module: str | None = None) -> Iterator[Endpoint]:
    """Run the example, and check that SIGTERM ends it cleanly."""
    if module is not None:
        require_module(module, 'pip install faye-websocket[test]')
    extra = ['--no-control-socket'] if server == 'gunicorn' else []
    process = Process([*command_of(example, server), '--bind', '127.0.0.1:0', *extra], own_directory(tmp_path, server))
    try:
        process.wait_for_start(lambda: LISTENING.search(read_text(process.stderr)))
        listening = LISTENING.search(read_text(process.stderr))
        assert listening is not None
        yield Endpoint(('127.0.0.1', int(listening['port'])))
        assert process.stop() == 0, process.output()
        assert 'Traceback' not in process.output()
    finally:
        if process.is_running():
            process.stop()


@contextmanager
def opened(endpoint: Endpoint, path: str, *headers: tuple[str, str]) -> Iterator[RawClient]:
    """Open a WebSocket at this path, and check its closing handshake."""
    with RawClient(endpoint, path, (*RFC_6455, *headers), host='localhost') as client:
        assert client.handshake().status == 101
        yield client
        client.send_close(1000)
        assert client.receive_frame() == Frame(CLOSE, close_payload(1000))
        assert client.read_to_eof() == b''


def page(endpoint: Endpoint) -> bytes:
    """Return the body of a response, which may be chunked."""
    with RawClient(endpoint, '/', [('Connection', 'close')], host='localhost') as client:
        assert client.handshake().status == 200
        return client.read_to_eof()


def assert_echoes(client: RawClient, change: Callable[[str], str] = str) -> None:
    """Check that a message comes back."""
    client.send_frame(TEXT, 'grüß'.encode())
    assert client.receive_frame() == Frame(TEXT, change('grüß').encode())


def cookie_of(endpoint: Endpoint, path: str) -> tuple[str, str]:
    """Return the session cookie of a handshake as a Cookie header."""
    with RawClient(endpoint, path, RFC_6455, host='localhost') as client:
        cookie = client.handshake().get('Set-Cookie')
    assert cookie is not None
    return 'Cookie', cookie.partition(';')[0]


@pytest.mark.proves('F1')
@every_server
def test_the_flask_example_has_rooms_and_a_session(tmp_path: Path, server: str) -> None:
    with running('flask_app.py', server, tmp_path, 'flask') as endpoint:
        assert b'There are WebSockets at /rooms/NAME.\n' in page(endpoint)
        cookie = cookie_of(endpoint, '/rooms/cellar')
        with opened(endpoint, '/rooms/attic', cookie) as client, opened(endpoint, '/rooms/attic') as other:
            assert client.receive_frame().payload == b'Welcome to attic. Visit 2, 1 in the room.'
            assert other.receive_frame().payload == b'Welcome to attic. Visit 1, 2 in the room.'
            assert_echoes(client)
            assert other.receive_frame() == Frame(TEXT, 'grüß'.encode())
        with RawClient(endpoint, '/rooms/attic', (*RFC_6455, ('Origin', 'https://bad.example')), host='localhost') as client:
            assert client.handshake().status == 403


@pytest.mark.proves('F1')
@every_server
def test_the_django_example_has_a_session(tmp_path: Path, server: str) -> None:
    with running('django_app.py', server, tmp_path, 'django') as endpoint:
        assert b'There are WebSockets at /hello/NAME.\n' in page(endpoint)
        cookie = cookie_of(endpoint, '/hello/Ada')
        with opened(endpoint, '/hello/Ada', cookie) as client:
            assert client.receive_frame().payload == b'Hello, Ada. Visit 2.'
            assert_echoes(client)
        with RawClient(endpoint, '/hello/Ada', (*RFC_6455, ('Origin', 'https://bad.example')), host='localhost') as client:
            assert client.handshake().status == 403


@every_server
def test_the_bottle_example_echoes_beside_its_page(tmp_path: Path, server: str) -> None:
    with running('bottle_app.py', server, tmp_path, 'bottle') as endpoint:
        assert b'There is a WebSocket at /echo.\n' in page(endpoint)
        with opened(endpoint, '/echo') as client:
            assert_echoes(client)


@every_server
def test_the_pyramid_example_has_a_part_of_the_path(tmp_path: Path, server: str) -> None:
    with running('pyramid_app.py', server, tmp_path, 'pyramid') as endpoint:
        assert b'There is a WebSocket at /hello/NAME.\n' in page(endpoint)
        with opened(endpoint, '/hello/Ada') as client:
            assert client.receive_frame().payload == b'Hello, Ada.'
            assert_echoes(client)


@every_server
@pytest.mark.parametrize(('example', 'text'), [
    ('ported_from_gevent_websocket.py', b'There is a WebSocket anywhere.\n'), ('ported_from_ruby.py', b'Hello')])
def test_the_ported_examples_echo(tmp_path: Path, example: str, text: bytes, server: str) -> None:
    with running(example, server, tmp_path) as endpoint:
        assert text in page(endpoint)
        with opened(endpoint, '/') as client:
            assert_echoes(client)


def test_the_example_ported_from_gevent_websocket_has_every_line_marked_that_changed() -> None:
    text = (EXAMPLES / 'ported_from_gevent_websocket.py').read_text()
    table = dict(re.findall(r'^    (\d)  .*\n    -> (.*)$', text, re.MULTILINE))
    marked = {number: line.strip() for line, number in re.findall(r'^(.*?)  # (\d)$', text, re.MULTILINE)}
    assert len(table) == 5
    assert {number: line.removesuffix('.serve_forever()') for number, line in marked.items()} == table


def test_the_example_ported_from_ruby_prints_the_close(tmp_path: Path) -> None:
    command = [*command_of('ported_from_ruby.py', 'pywsgi'), '--bind', '127.0.0.1:0']
    process = Process(command, own_directory(tmp_path, 'ruby'))
    try:
        process.wait_for_start(lambda: LISTENING.search(read_text(process.stderr)))
        endpoint = Endpoint(('127.0.0.1', int(LISTENING.findall(read_text(process.stderr))[0][0])))
        with RawClient(endpoint, '/', RFC_6455) as client:
            client.handshake()
            client.send_close(4000, 'bye')
            wait_until(lambda: "['close', 4000, 'bye']" in read_text(process.stdout), 'the close')
    finally:
        process.stop()


@pytest.mark.proves('F3')
def test_the_example_of_a_test_passes_by_its_command(tmp_path: Path) -> None:
    # It cannot be imported here, because it causes a warning in Python 3.12.
    if find_spec('webtest') is None:
        give_up('the Python module webtest is missing: pip install faye-websocket[test]')
    process = Process(command_of('testing/test_echo.py', 'pywsgi'), own_directory(tmp_path, 'pytest'))
    assert process.wait(60) == 0, process.output()
    assert '8 passed' in process.output()
