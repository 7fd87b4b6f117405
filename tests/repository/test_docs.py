"""The manual compared with the code.

Every path, name, option and command in the manual exists, and its programs work.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from io import BytesIO
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from gevent.pywsgi import WSGIServer

import faye_websocket
from faye_websocket import (
    Client,
    EventSource,
    PermessageDeflate,
    SocketMiddleware,
    WebSocket,
    driver,
    metrics,
)
from faye_websocket.__main__ import main
from faye_websocket.compat.gevent_websocket.websocket import WebSocket as OldWebSocket
from faye_websocket.servers import hijack
from faye_websocket.testing import connect
from tests.support.old import ported
from tests.support.processes import ROOT
from tests.support.programs import give_up, require_program

README = ROOT / 'README.rst'
PAGES = sorted((ROOT / 'docs').glob('*.rst'))
TEXTS = [README, ROOT / 'CHANGES.rst', *PAGES]

#: Names of files that belong to the reader, of modules that only a compiler creates,
#: and of a logger.
NOT_OURS = frozenset({
    'conftest.py', 'gunicorn.conf.py', 'hello.py', 'manage.py', 'faye_websocket.server'})

#: The content of the Ruby library's first README; ASK_RUBY lists the rest.
SEED = (
    "require 'faye/websocket'", 'websocket?(env)', 'WebSocket.new(env', 'onmessage', 'onopen', 'onclose', 'onerror',
    'send(string)', 'send(array)', 'event.data', 'event.code', 'event.reason', 'rack_response', "load_adapter('thin')", 'ping',
    'Client.new(url', 'protocols', 'ws.protocol', 'ws.close', 'eventsource?', 'EventSource.new(env', 'es.url',
    'es.last_event_id', 'es.send', ':event', ':id', ':retry', ':ping', 'es.ping', 'es.rack_response', 'EM.run',
    'EM.add_periodic_timer', 'EM.cancel_timer', 'config.ru', 'run App', 'thin start', 'rackup', 'ssl_options', 'rainbows',
    'Goliath')

#: Public names of the Ruby library, without those that every object has.
ASK_RUBY = r"""
require 'faye/websocket'
faye, own = Faye::WebSocket, lambda { |type| type.public_instance_methods - Object.public_instance_methods }
names = [faye, faye::Client, Faye::EventSource].flat_map do |type|
  own[type] + type.singleton_methods(false) + type.constants(false)
end
names += faye::API::TYPES.values.flat_map(&own) + faye::Adapter.public_instance_methods + faye::API.constants
puts names.map(&:to_s).uniq
"""


class Block(NamedTuple):
    """A block of Python in a text."""

    path: Path
    line: int
    source: str

    def __str__(self) -> str:
        return f'{self.path.name}:{self.line}'


FRAMEWORKS = ROOT / 'docs' / 'frameworks.rst'


def blocks_of(path: Path) -> Iterator[Block]:
    """Yield the Python blocks of a text."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if line.strip() != '.. code-block:: python':
            continue
        indent = len(line) - len(line.lstrip()) + 4
        body = []
        for text in lines[number + 2:]:
            if text.strip() and not text.startswith(' ' * indent):
                break
            body.append(text[indent:])
        yield Block(path, number + 1, '\n'.join(body))


BLOCKS = [block for path in TEXTS for block in blocks_of(path)]


def part(name: str) -> str:
    """Return a part of the README, which a page includes."""
    _, _, rest = README.read_text().partition(f'.. begin: {name}\n')
    text, end, _ = rest.partition(f'.. end: {name}\n')
    assert end, name
    return text


def block(text: str, path: Path = README) -> str:
    """Return the only Python block of a file that contains this text."""
    [found] = [each.source for each in blocks_of(path) if text in each.source]
    return found


def run(source: str, **names: Any) -> dict[str, Any]:
    """Run a program with these names, and return all its names."""
    exec(compile(source, 'the manual', 'exec'), names)
    return names


def options_in(text: str) -> dict[str, str]:
    """Return the options of a table in a text, with their defaults."""
    _, _, table = text.partition('option ')
    rows = [re.match(r'``(\w+)`` +``(.+?)`` ', line) for line in table.splitlines()]
    return {row[1]: row[2] for row in rows if row}


def keywords_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the keyword-only parameters of a function, with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}


def without_left_columns(text: str) -> str:
    """Return a text about porting without the names of the other library.

    These are in the first columns of its tables.
    """
    lines, width = [], 0
    for line in text.splitlines():
        if re.match(r'=+ +=+$', line):
            width = line.index(' ')
        lines.append('' if line.startswith('   * - ') else line[width:] if line[width:width + 1] == ' ' else line)
    return '\n'.join(lines)


class TestParts:
    def test_of_the_readme_begin_end_and_are_on_one_page(self) -> None:
        text = README.read_text()
        begun = re.findall(r'^\.\. begin: (\w+)$', text, re.MULTILINE)
        included = re.findall(r':start-after: \.\. begin: (\w+)\n +:end-before: \.\. end: \1\n', ''.join(
            path.read_text() for path in PAGES))
        assert sorted(begun) == sorted(re.findall(r'^\.\. end: (\w+)$', text, re.MULTILINE)) == sorted(included)

    def test_say_nothing_twice(self) -> None:
        paragraphs = [' '.join(each.split()) for path in TEXTS for each in path.read_text().split('\n\n')]
        long = [each for each in paragraphs if len(each) > 120]
        assert [each for each in set(long) if long.count(each) > 1] == []

    def test_the_readme_has_the_one_command_that_ci_runs(self) -> None:
        found = re.findall(r'^    python3 -m venv .* -m pytest .*$', README.read_text(), re.MULTILINE)
        assert found == [
            "    python3 -m venv .venv && .venv/bin/pip install -e '.[test]' "
            '&& .venv/bin/python -m pytest -n 2 --dist loadfile']


class TestNames:
    @pytest.mark.parametrize('path', TEXTS, ids=lambda path: path.name)
    def test_of_files_are_of_files_that_are_there(self, path: Path) -> None:
        text = path.read_text()
        named = set(re.findall(r'(?<![\w/.:])(?:benchmarks|docs|examples|faye_websocket|tests)/[\w/.-]*\w', text))
        assert [name for name in named if not (ROOT / name).exists()] == []
        modules = set(re.findall(r'(?<![\w/.])(?:benchmarks|examples|tests)(?:\.\w+)+', text))
        paths = [ROOT / name.replace('.', '/') for name in modules]
        assert [path for path in paths if not (path.is_dir() or path.with_suffix('.py').is_file())] == []
        bare = set(re.findall(r'``([\w.-]+\.(?:conf|pxd|py|pyx|rst))``', text)) - NOT_OURS
        package = ROOT / 'faye_websocket'
        folders = [ROOT, ROOT / 'docs', ROOT / 'examples', package, *filter(Path.is_dir, package.iterdir())]
        assert [name for name in bare if not any((folder / name).is_file() for folder in folders)] == []

    @pytest.mark.parametrize('path', TEXTS, ids=lambda path: path.name)
    def test_that_are_dotted_can_be_resolved(self, path: Path) -> None:
        for name in set(re.findall(r'(?<![\w/])faye_websocket(?:\.\w+)+', path.read_text())) - NOT_OURS:
            assert pkgutil.resolve_name(name) is not None

    @pytest.mark.parametrize('path', TEXTS, ids=lambda path: path.name)
    def test_of_members_are_of_members_that_are_there(self, path: Path) -> None:
        text = path.read_text().replace(part('ruby'), without_left_columns(part('ruby')))
        members = {'ws': {*dir(WebSocket), *dir(Client)}, 'es': {*dir(EventSource)}}
        if path.name.startswith('porting'):
            text = without_left_columns(text)
            # Names for programs on the sockets of compat, and for lines of Ruby.
            members['ws'] |= {'handler', 'nickname', 'path', 'stream', 'websocket', *dir(OldWebSocket)}
        named = re.findall(r'\b(ws|es)\.(\w+)', text)
        assert [f'{socket}.{name}' for socket, name in named if name not in members[socket]] == []

    @pytest.mark.parametrize('name', faye_websocket.__all__)
    def test_that_are_public_are_in_the_reference(self, name: str) -> None:
        reference = (ROOT / 'docs' / 'api.rst').read_text()
        assert re.search(rf'^\.\. (auto\w+|data):: faye_websocket\.{name}$', reference, re.MULTILINE)


class TestOptions:
    @staticmethod
    def check(documented: dict[str, str], keywords: dict[str, Any]) -> None:
        assert set(documented) == set(keywords)
        for name, text in documented.items():
            # The default is the value of another option, which the table names.
            default = None if text in keywords else eval(text)
            assert default == keywords[name], name

    def test_of_a_socket(self) -> None:
        self.check(options_in(part('options')), keywords_of(WebSocket))

    def test_of_a_client(self) -> None:
        common = options_in(part('options'))
        del common['allowed_origins'], common['context']
        self.check({**common, **options_in(part('client'))}, keywords_of(Client))

    def test_of_an_event_source(self) -> None:
        self.check(options_in(part('eventsource')), keywords_of(EventSource))

    def test_of_compression(self) -> None:
        self.check(options_in(part('compression')), keywords_of(PermessageDeflate))

    def test_of_gunicorn(self) -> None:
        known = import_module('gunicorn.config').KNOWN_SETTINGS
        _, _, table = part('deployment').partition('setting  ')
        table, _, _ = table.partition('\n\n')
        names = [name for line in table.splitlines() for name in re.findall(r'``(\w+)', line[:26])]
        assert len(names) > 8
        assert set(names) <= {setting.name for setting in known}

    @pytest.mark.parametrize('command', ['serve', 'connect'])
    def test_of_commands(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main([command, '--help'])
        known = set(re.findall(r'--[a-z-]+', capsys.readouterr().out))
        lines = re.findall(rf'faye-websocket {command} (.*)', ''.join(path.read_text() for path in TEXTS))
        if command == 'connect':
            lines.append(part('client').partition('From the terminal')[2])
        named = set(re.findall(r'--[a-z-]+', ' '.join(lines)))
        assert named
        assert named <= known


    def test_of_metrics_are_the_counters(self) -> None:
        named = re.findall(r'^``(\w+)``  ', part('metrics'), re.MULTILINE)
        assert sorted(named) == sorted(metrics.SocketCounters().snapshot())


class TestPrograms:
    @pytest.mark.parametrize('block', BLOCKS, ids=str)
    def test_compile_and_use_what_there_is(self, block: Block) -> None:
        for node in ast.walk(ast.parse(block.source, str(block))):
            if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('faye_websocket'):
                for alias in node.names:
                    assert getattr(import_module(node.module or ''), alias.name)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in faye_websocket.__all__:
                # The arguments are valid; unpacked arguments are not checked.
                arguments = [None for each in node.args if not isinstance(each, ast.Starred)]
                keywords = {each.arg: None for each in node.keywords if each.arg}
                inspect.signature(getattr(faye_websocket, node.func.id)).bind_partial(*arguments, **keywords)

    def test_the_server_echoes(self, capsys: pytest.CaptureFixture[str]) -> None:
        app = run(block("WebSocket(environ, ['chat'], ping=30)"))['app']
        with connect(app, protocols=['chat']) as ws:
            ws.send('hello')
            assert (ws.protocol, ws.receive(timeout=5)) == ('chat', 'hello')
        assert capsys.readouterr().out == 'close 1000 \n'

    def test_the_server_in_greenlet_style_echoes(self) -> None:
        app = run(block('with WebSocket(environ) as ws:'))['app']
        with connect(app) as ws:
            ws.send('you')
            ws.send('again')
            assert [ws.receive(timeout=5), ws.receive(timeout=5)] == ['hello, you', 'again']

    def test_the_event_source_sends_its_events(self) -> None:
        app = run(block('if EventSource.is_eventsource(environ):'))['app']
        environ = {'REQUEST_METHOD': 'GET', 'HTTP_HOST': 'localhost', 'HTTP_ACCEPT': 'text/event-stream'}
        heads: list[tuple[str, list[tuple[str, str]]]] = []
        body = app(environ, lambda *head: heads.append(head))
        received, chunks = b'', iter(body)
        while b'News' not in received:
            received += next(chunks)
        body.close()
        assert heads[0][0] == '200 OK'
        assert ('Access-Control-Allow-Origin', '*') in heads[0][1]
        lines = received.decode().splitlines()
        assert lines[0] == 'retry: 10000'
        assert [line for line in lines[1:] if line] == ['data: Hello', 'event: notification', 'id: 99', 'data: Breaking News!']

    def test_the_compressing_server_compresses(self) -> None:
        # The last line is a client of another server.
        source, _, _ = block('extensions=[deflate]').partition("ws = Client('wss:")
        app = run(source)['app']
        with connect(app, extensions=[PermessageDeflate()]) as ws:
            ws.send('hello ' * 100)
            assert ws.receive(timeout=5) == 'hello ' * 100
            assert ws.extensions == 'permessage-deflate; server_max_window_bits=12'

    def test_the_flask_view_echoes(self) -> None:
        flask = import_module('flask')
        app = flask.Flask('shop')
        app.secret_key = 'secret'
        run(block("@app.route('/rooms/<name>', websocket=True)"), app=app, login_required=lambda view: view,
            session=flask.session, request=flask.request, WebSocket=WebSocket)
        with connect(app, '/rooms/red') as ws:
            ws.send('hello')
            assert ws.receive(timeout=5) == 'red: hello'
            assert 'Set-Cookie' in ws.headers

    def test_the_django_views_send(self) -> None:
        settings = import_module('django.conf').settings
        if not settings.configured:
            settings.configure(LOGGING_CONFIG=None, SECRET_KEY='secret' * 9, STATIC_URL='/static/')
        request_of = import_module('django.core.handlers.wsgi').WSGIRequest
        SocketResponse = import_module('faye_websocket.django').SocketResponse  # noqa: N806
        enter = run(block('def enter(request, name):'), WebSocket=WebSocket, SocketResponse=SocketResponse)['enter']

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            response = enter(request_of(environ), 'red')
            start_response(f'{response.status_code} {response.reason_phrase}', list(response.items()))
            return response

        with connect(app) as ws:
            ws.send('hello')
            assert ws.receive(timeout=5) == 'red: hello'

        events = run(block('def events(request):', FRAMEWORKS), SocketResponse=SocketResponse)['events']
        response = events(request_of({'REQUEST_METHOD': 'GET', 'HTTP_HOST': 'localhost', 'wsgi.input': BytesIO()}))
        assert response['Content-Type'] == 'text/event-stream'
        assert next(iter(response)).startswith(b'retry: 5000')
        response.close()

    def test_the_view_with_a_context_says_where_it_is(self) -> None:
        flask = import_module('flask')
        app = flask.Flask('shop')
        app.secret_key = 'secret'
        logins = import_module('flask_login').LoginManager(app)
        user = type('User', (import_module('flask_login').UserMixin,), {'id': 'ada'})
        logins.request_loader(lambda request: user())
        run(block('context=copy_context()', FRAMEWORKS), app=app)
        with connect(app, '/rooms/red') as ws:
            ws.send('hello')
            assert ws.receive(timeout=5) == 'ada in /rooms/red: hello'

    def test_the_middleware_and_the_test_of_it_agree(self) -> None:
        names = run(block('app = SocketMiddleware('), app=lambda environ, start_response: [])
        assert isinstance(names['app'], SocketMiddleware)
        run(block('def test_echo'), app=names['app'])['test_echo']()

    @pytest.mark.proves('M2')
    def test_the_paths_have_arguments_and_options(self) -> None:
        app = run(block("'/rooms/<int:number>': room", FRAMEWORKS))['app']
        for path in ('/rooms/7', '/floors/first/rooms/7'):
            with connect(app, path) as ws:
                assert ws.receive(timeout=5) == 'room 7'
        with connect(app, '/upload') as ws:
            ws.send(bytes(1000))
            assert ws.receive(timeout=5) == '1000'

    def test_the_adapter_is_registered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hijack, 'ADAPTERS', hijack.ADAPTERS.copy())
        take = run(block('register_adapter(', ROOT / 'docs' / 'deployment.rst'))['take']
        assert hijack.ADAPTERS['example'].find_socket is take
        assert take({}) is None
        assert take({'example.socket': 1, 'example.unread': b''}) == (1, b'')

    def test_two_drivers_meet_in_memory(self, capsys: pytest.CaptureFixture[str]) -> None:
        run(block('driver.client(here), driver.server(there)', ROOT / 'docs' / 'driver.rst'))
        assert capsys.readouterr().out == 'HELLO\n'

    def test_the_extension_reverses_binary_messages_on_the_wire(self) -> None:
        reverse = run(block('class Reversed:', ROOT / 'docs' / 'extensions.rst'))['Reversed']
        IO = run(block('driver.client(here)', ROOT / 'docs' / 'driver.rst'))['IO']  # noqa: N806 - a class
        here, there = IO(), IO()
        client, server = driver.client(here, extensions=[reverse()]), driver.server(there, extensions=[reverse()])
        received: list[str | bytes] = []
        client.on('message', received.append)
        server.on('open', lambda: [server.binary(b'abc'), server.text('abc')])
        client.start()
        server.parse(here.written.pop(0))
        wire = b''.join(there.written)
        assert wire.endswith(b'\xa2\x03cba\x81\x03abc')
        client.parse(wire)
        assert (received, client.extensions) == ([b'abc', 'abc'], 'x-reversed')


class TestPorting:
    @staticmethod
    def text() -> str:
        return part('ruby') + (ROOT / 'docs' / 'porting-from-ruby.rst').read_text()

    @pytest.mark.parametrize('name', SEED)
    def test_names_what_the_first_readme_shows(self, name: str) -> None:
        assert name in self.text()

    def test_names_every_public_name_of_the_ruby_library(self) -> None:
        ruby = require_program('ruby', 'apt-get install ruby-faye-websocket')
        asked = subprocess.run([ruby, '-e', ASK_RUBY], capture_output=True, text=True, check=False, timeout=60)
        if asked.returncode != 0:
            give_up(f'Ruby has no faye-websocket: apt-get install ruby-faye-websocket\n{asked.stderr}')
        names = [name.rstrip('=') for name in asked.stdout.split()]
        assert len(names) > 50
        text = self.text()
        assert [name for name in names if not re.search(rf'\b{re.escape(name)}(?!\w)', text)] == []


def diffs_of(path: Path) -> list[tuple[str, str]]:
    """Return the text before and after each diff of a page."""
    lines, found = path.read_text().splitlines(), []
    for number, line in enumerate(lines):
        if line == '.. code-block:: diff':
            body = list(takewhile(lambda text: not text or text.startswith('    '), lines[number + 2:]))
            body = [text[4:] for text in body]
            before, after = ([text[1:] for text in body if text[:1] != sign] for sign in '+-')
            found.append(('\n'.join(before).strip() + '\n', '\n'.join(after).strip() + '\n'))
    return found


class TestDiffs:
    DIFFS = diffs_of(ROOT / 'docs' / 'porting-from-python.rst')

    @pytest.mark.proves('M1')
    @pytest.mark.parametrize(('before', 'after'), DIFFS, ids=lambda source: source.split()[1])
    def test_change_the_import_lines_and_nothing_else(self, before: str, after: str) -> None:
        assert ported(before) == after != before

    def program(self, name: str) -> dict[str, Any]:
        [source] = [after for _, after in self.DIFFS if name in after]
        return run(source, __name__='program')

    @pytest.mark.proves('M1')
    def test_the_chat_broadcasts_and_has_a_page(self, capsys: pytest.CaptureFixture[str]) -> None:
        app = self.program('compat.gevent_websocket')['app']
        with connect(app, '/chat') as ann, connect(app, '/chat'):
            ann.send('hello')
            assert ann.receive(timeout=5) == '/chat: hello'
        assert b''.join(app({'PATH_INFO': '/page'}, lambda *_: None)) == b'There is a chat at /chat.'

    @pytest.mark.proves('M1')
    def test_the_echo_of_flask_sock_echoes(self) -> None:
        with connect(self.program('compat.flask_sock ')['app'], '/echo/ann') as ws:
            ws.send('hello')
            assert ws.receive(timeout=5) == 'ann: hello'

    @pytest.mark.proves('M1')
    def test_the_echo_of_flask_sockets_echoes(self) -> None:
        app = self.program('compat.flask_sockets')['app']
        with connect(app, '/echo') as ws:
            ws.send('hello')
            assert ws.receive(timeout=5) == 'hello'
        with connect(app, '/rooms/red') as ws:
            assert ws.receive(timeout=5) == 'this is red'

    @pytest.mark.proves('M1')
    def test_the_client_prints(self, capsys: pytest.CaptureFixture[str]) -> None:
        def echo_once(ws: WebSocket) -> None:
            ws.send(str(ws.receive()))
            ws.close(4000)

        server = WSGIServer(('127.0.0.1', 0), SocketMiddleware(lambda *_: [], {'/': echo_once}), log=None)
        server.start()
        try:
            self.program('compat.simple_websocket')['main'](f'ws://127.0.0.1:{server.server_port}/')
        finally:
            server.stop(timeout=1)
        assert capsys.readouterr().out == 'hello\nclosed with 4000\n'

    @pytest.mark.proves('M2')
    def test_the_rooms_have_their_names(self) -> None:
        app = run(block('re.compile(', ROOT / 'docs' / 'porting-from-python.rst'))['app']
        for path in ('/rooms/red', '/old-rooms/red'):
            with connect(app, path) as ws:
                ws.send('hello')
                assert ws.receive(timeout=5) == 'red: hello'

    def test_rubys_becomes_the_example(self) -> None:
        [(_, after)] = diffs_of(ROOT / 'docs' / 'porting-from-ruby.rst')
        _, _, program = (ROOT / 'examples' / 'ported_from_ruby.py').read_text().partition('\n"""\n')
        lines = lambda source: [line for line in source.splitlines() if line]
        assert lines(after) == lines(program)


class TestLinkChecker:
    CHECKER = ROOT / 'docs' / 'check_links.py'

    def check(self, directory: Path) -> tuple[int, list[str]]:
        """Return the exit status of the program, and the lines that it prints."""
        command = [sys.executable, str(self.CHECKER), str(directory)]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert run.stderr == ''
        return run.returncode, run.stdout.splitlines()

    def test_follows_files_and_names(self, tmp_path: Path) -> None:
        (tmp_path / 'sub').mkdir()
        (tmp_path / 'index.html').write_text(
            '<p id="here"><a href="#here">1</a><a href="#">2</a><a href="sub/">3</a><a href="https://example.com/none#x">4</a>'
            '<a href="sub/index.html#a%20b">5</a><img src="a.svg">')
        (tmp_path / 'sub' / 'index.html').write_text('<a name="a b" href="../index.html#here">6</a>')
        (tmp_path / 'a.svg').write_text('<svg/>')
        assert self.check(tmp_path) == (0, ['2 pages, 0 dead links'])

    def test_finds_what_is_dead(self, tmp_path: Path) -> None:
        (tmp_path / 'index.html').write_text('<a href="gone.html">1</a><a href="#nowhere">2</a><img src="gone.svg">')
        assert self.check(tmp_path) == (1, [
            'index.html: there is no gone.html', 'index.html: nothing is called #nowhere', 'index.html: there is no gone.svg',
            '1 pages, 3 dead links'])

    def test_takes_no_page_for_a_fault(self, tmp_path: Path) -> None:
        assert self.check(tmp_path) == (1, ['0 pages, 0 dead links'])
