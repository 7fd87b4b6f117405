"""The manual compared with the code.

Every path, name, option and command in the manual exists, and its programs work.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from itertools import takewhile
from pathlib import Path
from textwrap import indent
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from gevent.pywsgi import WSGIServer

import faye_websocket
from faye_websocket import (
    Client,
    ConnectionClosed,
    EventSource,
    PermessageDeflate,
    SocketMiddleware,
    WebSocket,
    channels,
    django,
    driver,
    extensions,
    metrics,
    testing,
)
from faye_websocket.__main__ import main
from faye_websocket.compat.gevent_websocket.websocket import WebSocket as OldWebSocket
from faye_websocket.servers import hijack
from faye_websocket.testing import connect
from tests.support.local import wait_until
from tests.support.old import ported
from tests.support.processes import ROOT
from tests.support.programs import give_up, require_program
from tools.readme import readme

README = ROOT / 'README.rst'
DOCS = ROOT / 'docs'
PAGES = sorted(DOCS.glob('*.rst'))
TEXTS = [README, ROOT / 'CHANGES.rst', *PAGES]

#: Names of files that belong to the reader, of modules that only a compiler creates,
#: and of loggers.
NOT_OURS = frozenset({
    'conftest.py', 'gunicorn.conf.py', 'hello.py', 'manage.py', 'test_hello.py', 'faye_websocket.server',
    'faye_websocket.eventsource'})

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


#: The mark of a block that is not a whole program. The paragraph before it must name
#: what it lacks.
FRAGMENT = '.. fragment'

#: The addresses of the echo that the programs of the manual connect to.
ECHO = re.compile(r'ws://127\.0\.0\.1:(?:9292/|8000/echo)')


class Block(NamedTuple):
    """A block of code in a text."""

    path: Path
    line: int
    source: str
    #: The text before the block, without the mark of a fragment.
    before: str
    is_fragment: bool

    def __str__(self) -> str:
        return f'{self.path.name}:{self.line}'


def blocks_of(path: Path, language: str = 'python') -> Iterator[Block]:
    """Yield the blocks of a text in this language."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if line.strip() != f'.. code-block:: {language}':
            continue
        indent = len(line) - len(line.lstrip()) + 4
        body = []
        for text in lines[number + 2:]:
            if text.strip() and not text.startswith(' ' * indent):
                break
            body.append(text[indent:])
        before = '\n'.join(each.strip() for each in lines[:number]).rstrip()
        is_fragment = before.endswith(FRAGMENT)
        before = before.removesuffix(FRAGMENT).rstrip()
        yield Block(path, number + 1, '\n'.join(body), before, is_fragment)


def blocks_in(language: str) -> list[Block]:
    """Return the blocks of all texts in this language."""
    return [block for path in TEXTS for block in blocks_of(path, language)]


BLOCKS = blocks_in('python')

#: The pages of the reference, and what each of them describes.
REFERENCE = [
    ('api', faye_websocket), ('api', WebSocket), ('api', Client), ('api', EventSource), ('api', testing),
    ('api', django), ('channels', channels), ('driver', driver), ('extensions', extensions),
    ('metrics', metrics), ('metrics', metrics.SocketCounters)]

#: Names that annotations need, and methods that the library calls.
INTERNAL = frozenset({
    'ClientSession', 'Counting', 'Extension', 'Pipeline', 'ServerSession', 'Session', 'count_closed', 'count_refused'})


def targets_in(text: str) -> list[str]:
    """Return the addresses of the links and the images in a README."""
    return re.findall(r'^\.\. (?:_.+:|image::)\s+(\S+)$', text, re.MULTILINE)


def page(name: str) -> str:
    """Return the text of a page of the manual."""
    return (DOCS / f'{name}.rst').read_text()


def section(name: str, title: str) -> str:
    """Return a section of a page, up to the next title."""
    [rest] = re.split(rf'\n{re.escape(title)}\n-+\n', page(name))[1:]
    return re.split(r'\n.+\n---', rest)[0]


def block(text: str, name: str) -> str:
    """Return the only Python block of a page that contains this text."""
    path = README if name == 'README' else DOCS / f'{name}.rst'
    [found] = [each.source for each in blocks_of(path) if text in each.source]
    return found


def lacking(source: str) -> set[str]:
    """Return the names and modules that a program uses without having them."""
    used: set[str] = set()
    bound = set(dir(builtins))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound.update((each.asname or each.name).partition('.')[0] for each in node.names)
            modules = [node.module or ''] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
            used.update(name for name in modules if find_spec(name.partition('.')[0]) is None)
    return used - bound


def is_inspectable(function: Callable[..., Any]) -> bool:
    """Return whether a function has a signature, which a compiled class has not."""
    try:
        return bool(inspect.signature(function))
    except ValueError:
        return False


def names_in(source: str) -> set[str]:
    """Return the names, attributes and imported names in a program."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.alias):
            found.add(node.name)
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


class TestTexts:
    def test_the_readme_is_short(self) -> None:
        assert README.stat().st_size <= 8192

    def test_the_readme_links_to_files_that_exist(self) -> None:
        targets = targets_in(README.read_text())
        assert len(targets) > 10
        assert [name for name in targets if not (ROOT / name).exists() and not name.endswith('.md')] == []

    def test_the_readme_of_a_package_index_has_absolute_links(self) -> None:
        # An index shows the README, and has no other file.
        text = readme('https://example.com/repo')
        assert len(targets_in(text)) == len(targets_in(README.read_text()))
        assert [target for target in targets_in(text) if not target.startswith('https://example.com/repo/')] == []
        assert 'https://example.com/repo/raw/main/docs/benchmark.svg' in targets_in(text)

    def test_the_readme_of_a_package_index_has_no_links_before_there_is_a_repository(self) -> None:
        text = readme('')
        assert targets_in(text) == []
        assert '`_' not in text
        assert 'authentication' in text

    @pytest.mark.parametrize('path', [path for path in PAGES if path.stem != 'index'], ids=lambda path: path.name)
    def test_a_page_ends_with_the_section_where_to_go_next(self, path: Path) -> None:
        _, found, end = path.read_text().rpartition('\nWhere to go next\n----------------\n\n')
        assert found
        assert re.fullmatch(r'(- .*:(doc|ref):`[^`]+`(.|\n  .)*\n)+', end)

    def test_the_index_lists_every_page(self) -> None:
        listed = re.findall(r'^   ([\w-]+)$', page('index'), re.MULTILINE)
        assert sorted(listed) == [path.stem for path in PAGES if path.stem != 'index']

    def test_no_paragraph_is_repeated(self) -> None:
        # Programs may have lines in common: a page of the tutorial goes on with the one
        # before.
        paragraphs = [
            ' '.join(each.split()) for path in TEXTS for each in path.read_text().split('\n\n') if each[:4].strip()]
        long = [each for each in paragraphs if len(each) > 120]
        assert [each for each in set(long) if long.count(each) > 1] == []

    @pytest.mark.parametrize('path', TEXTS, ids=lambda path: path.name)
    def test_the_first_cell_of_a_row_is_on_one_line(self, path: Path) -> None:
        # In a simple table, text in the first column begins a row.
        tables = re.findall(r'^(=+)( =+)+\n((?:.+\n)+)', path.read_text(), re.MULTILINE)
        cells = [line[:len(rule)].strip() for rule, _, rows in tables for line in rows.splitlines()]
        assert [cell for cell in cells if cell.endswith((',', ' and', ' or'))] == []

    def test_the_readme_has_the_one_command_that_ci_runs(self) -> None:
        found = re.findall(r'^    python3 -m venv .* -m pytest .*$', README.read_text(), re.MULTILINE)
        assert found == [
            "    python3 -m venv .venv && .venv/bin/pip install -e '.[test]' "
            '&& .venv/bin/python -m pytest -n 2 --dist loadfile']


class TestNames:
    @pytest.mark.parametrize('path', TEXTS, ids=lambda path: path.name)
    def test_files_that_are_named_exist(self, path: Path) -> None:
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
    def test_dotted_names_can_be_resolved(self, path: Path) -> None:
        for name in set(re.findall(r'(?<![\w/])faye_websocket(?:\.\w+)+', path.read_text())) - NOT_OURS:
            assert pkgutil.resolve_name(name) is not None

    @pytest.mark.parametrize('path', TEXTS, ids=lambda path: path.name)
    def test_members_that_are_named_exist(self, path: Path) -> None:
        text = path.read_text()
        members = {'ws': {*dir(WebSocket), *dir(testing.JoinedClient)}, 'es': {*dir(EventSource)}}
        if path.name.startswith('porting'):
            text = without_left_columns(text)
            # Names for programs on the sockets of compat, and for lines of Ruby.
            members['ws'] |= {'handler', 'nickname', 'path', 'sock', 'stream', 'websocket', *dir(OldWebSocket)}
        named = re.findall(r'\b(ws|es)\.(\w+)', text)
        assert [f'{socket}.{name}' for socket, name in named if name not in members[socket]] == []

    @pytest.mark.parametrize('name', faye_websocket.__all__)
    def test_public_names_are_in_the_reference(self, name: str) -> None:
        assert re.search(rf'^\.\. (auto\w+|data):: faye_websocket\.{name}$', page('api'), re.MULTILINE)

    @pytest.mark.parametrize(('name', 'owner'), REFERENCE)
    def test_every_public_name_has_an_entry_and_an_example(self, name: str, owner: Any) -> None:
        public = set(getattr(owner, '__all__', [each for each in dir(owner) if not each.startswith('_')])) - INTERNAL
        if name != 'api':
            public -= {*faye_websocket.__all__}
        examples = [each.source for each in BLOCKS if each.path.stem == name]
        assert public - set().union(*map(names_in, examples)) == set()
        text = page(name)
        for source in examples:
            text = text.replace(indent(source, '    '), '')
        assert [each for each in public if not re.search(rf'\b{each}\b', text)] == []


class TestOptions:
    @staticmethod
    def check(documented: dict[str, str], keywords: dict[str, Any]) -> None:
        assert set(documented) == set(keywords)
        for name, text in documented.items():
            # The default is the value of another option, which the table names.
            default = None if text in keywords else eval(text)
            assert default == keywords[name], name

    def test_options_of_a_socket_are_documented(self) -> None:
        self.check(options_in(section('options', '``WebSocket``')), keywords_of(WebSocket))

    def test_options_of_a_client_are_documented(self) -> None:
        common = options_in(section('options', '``WebSocket``'))
        del common['allowed_origins'], common['context']
        self.check({**common, **options_in(section('options', '``Client``'))}, keywords_of(Client))

    def test_options_of_an_event_source_are_documented(self) -> None:
        self.check(options_in(section('options', '``EventSource``')), keywords_of(EventSource))

    def test_options_of_compression_are_documented(self) -> None:
        self.check(options_in(section('compression', 'The options')), keywords_of(PermessageDeflate))

    def test_documented_settings_of_gunicorn_exist(self) -> None:
        known = import_module('gunicorn.config').KNOWN_SETTINGS
        _, _, table = section('servers', "gunicorn's settings").partition('setting  ')
        table, _, _ = table.partition('\n\n')
        names = [name for line in table.splitlines() for name in re.findall(r'``(\w+)', line[:26])]
        assert len(names) > 8
        assert set(names) <= {setting.name for setting in known}

    @pytest.mark.parametrize('command', ['serve', 'connect'])
    def test_documented_options_of_commands_exist(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main([command, '--help'])
        known = set(re.findall(r'--[a-z-]+', capsys.readouterr().out))
        lines = re.findall(rf'faye-websocket {command} (.*)', ''.join(path.read_text() for path in TEXTS))
        if command == 'connect':
            lines.append(section('commands', '``faye-websocket connect``'))
        named = set(re.findall(r'--[a-z-]+', ' '.join(lines)))
        assert named
        assert named <= known

    def test_documented_metrics_are_the_counters(self) -> None:
        named = re.findall(r'^``(?!websocket_)(\w+)``  ', page('metrics'), re.MULTILINE)
        assert sorted(named) == sorted(metrics.SocketCounters().snapshot())


@pytest.fixture
def echo() -> Iterator[str]:
    """The URL of an echo server."""
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        ws = WebSocket(environ)
        ws.onmessage = lambda event: ws.send(event.data)
        return ws(environ, start_response)

    server = WSGIServer(('127.0.0.1', 0), app, log=None)
    server.start()
    try:
        yield f'ws://127.0.0.1:{server.server_port}/'
    finally:
        server.stop(timeout=1)


class TestPrograms:
    @pytest.mark.parametrize('block', BLOCKS, ids=str)
    def test_programs_compile_and_use_existing_names(self, block: Block) -> None:
        for node in ast.walk(ast.parse(block.source, str(block))):
            if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('faye_websocket'):
                for alias in node.names:
                    assert getattr(import_module(node.module or ''), alias.name)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in faye_websocket.__all__:
                # The arguments are valid; unpacked arguments are not checked.
                arguments = [None for each in node.args if not isinstance(each, ast.Starred)]
                keywords = {each.arg: None for each in node.keywords if each.arg}
                function = getattr(faye_websocket, node.func.id)
                if is_inspectable(function):
                    inspect.signature(function).bind_partial(*arguments, **keywords)

    @pytest.mark.parametrize('block', [block for block in BLOCKS if not block.is_fragment], ids=str)
    def test_programs_run(self, block: Block, echo: str, monkeypatch: pytest.MonkeyPatch) -> None:
        assert lacking(block.source) == set(), f'a fragment is marked by "{FRAGMENT}" in the line before it'
        if any(word in block.source for word in ('monkey.', 'logging.', 'metrics.')):
            # It would change the process of the other tests.
            subprocess.run([sys.executable, '-c', block.source], cwd=ROOT, check=True, timeout=60)
            return
        monkeypatch.setattr(hijack, 'ADAPTERS', hijack.ADAPTERS.copy())
        run(ECHO.sub(echo, block.source), __name__='program')

    @pytest.mark.parametrize('block', [block for block in BLOCKS if block.is_fragment], ids=str)
    def test_the_text_before_a_fragment_names_what_it_lacks(self, block: Block) -> None:
        missing, paragraph = lacking(block.source), block.before.split('\n\n')[-1]
        assert missing, 'this is no fragment'
        named = ' '.join(re.findall('``(.+?)``', paragraph))
        assert [name for name in missing if not re.search(rf'\b{name}\b', named)] == []

    def test_the_readme_has_no_fragment(self) -> None:
        assert [each for each in BLOCKS if each.path == README and each.is_fragment] == []

    @pytest.mark.parametrize('block', blocks_in('javascript'), ids=str)
    def test_javascript_has_valid_syntax(self, block: Block, tmp_path: Path) -> None:
        node = require_program('node', 'install Node.js 20, https://nodejs.org/')
        (tmp_path / 'block.js').write_text(block.source)
        subprocess.run([node, '--check', str(tmp_path / 'block.js')], check=True, timeout=60)

    @pytest.mark.parametrize('block', blocks_in('nginx'), ids=str)
    def test_nginx_accepts_its_configuration(self, block: Block, tmp_path: Path) -> None:
        nginx = require_program('nginx', 'apt-get install nginx-light')
        source = block.source
        if 'location' not in source:
            source = f'location / {{ proxy_pass http://127.0.0.1:9292; {source} }}'
        (tmp_path / 'nginx.conf').write_text(
            f'pid nginx.pid; error_log stderr; events {{}} http {{ access_log off; server {{ {source} }} }}')
        command = [nginx, '-t', '-p', str(tmp_path), '-c', 'nginx.conf', '-e', 'stderr']
        checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert checked.returncode == 0, checked.stderr

    @pytest.mark.parametrize('block', blocks_in('sh'), ids=str)
    def test_shell_commands_have_valid_syntax(self, block: Block) -> None:
        subprocess.run(['bash', '-n'], input=block.source, text=True, check=True, timeout=60)

    @pytest.mark.parametrize('block', blocks_in('sh'), ids=str)
    def test_shell_commands_have_valid_options_of_gunicorn(self, block: Block) -> None:
        parser = import_module('gunicorn.config').Config().parser()
        for line in re.findall(r'gunicorn (-[^#&\n]*)', block.source):
            [app] = parser.parse_args(line.split()).args
            assert app.endswith(':app')

    @pytest.mark.parametrize('name', ['README', 'index'])
    def test_the_program_on_the_first_page_echoes(self, name: str) -> None:
        app = run(block('def echo():', name), __name__='hello')['app']
        with connect(app, '/echo', headers={'Origin': 'http://localhost'}) as ws:
            ws.send('hello')
            assert ws.receive(timeout=5) == 'hello'

    def test_the_program_without_a_framework_replies(self) -> None:
        with connect(run(block('def app(', 'README'))['app']) as ws:
            ws.send('hello')
            assert ws.receive(timeout=5) == 'you said hello'

    def test_the_tutorial_begins_with_an_echo_and_its_page(self) -> None:
        app = run(block('def echo():', 'start-echo'), __name__='hello')['app']
        assert 'new WebSocket' in app.test_client().get('/').text
        with connect(app, '/echo') as ws:
            ws.send('hello')
            assert ws.receive(timeout=5) == 'hello'

    def test_the_tutorials_room_passes_its_test(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names = run(block('def room():', 'start-presence'), __name__='hello')
        monkeypatch.setitem(sys.modules, 'hello', SimpleNamespace(**names))
        run(block('def test_the_room():', 'start-presence'))['test_the_room']()
        assert names['names'] == {}

    def test_the_tutorial_ends_with_a_room_across_workers(self) -> None:
        source = block('def room():', 'start-deploy').replace('redis://localhost', 'memory://')
        app = run(source, __name__='hello')['app']
        with connect(app, '/room?name=ada') as ada:
            assert json.loads(ada.receive(timeout=5) or '') == {'here': ['ada']}
            ada.send('hello')
            assert json.loads(ada.receive(timeout=5) or '') == {'name': 'ada', 'text': 'hello'}
            codes: list[int] = []
            ada.onclose = lambda event: codes.append(event.code)
            ada.send(b'hello')
            wait_until(lambda: codes == [1003])
        assert connect(app, '/room?name=', refused=True).status == 400

    def test_the_first_program_with_channels_responds_503_without_redis(self) -> None:
        source = block("b'There is a WebSocket here.'", 'channels')
        app = run(source.replace("'redis://localhost'", "'redis://127.0.0.1:1', timeout=0.1"))['app']
        assert connect(app, '/', refused=True).status == 503

    def test_the_room_sends_missed_messages(self) -> None:
        source = block('since=request.args', 'channels').replace('redis://localhost', 'memory://')
        names = run(source, __name__='app')
        first = names['channels'].publish('room/7', 'one')
        names['channels'].publish('room/7', 'two')
        with connect(names['app'], f'/room?since={first}') as ws:
            assert json.loads(ws.receive(timeout=5) or '')['data'] == 'two'

    def test_a_page_that_reconnects_receives_missed_messages(self) -> None:
        names = run(block('parse_qs', 'reconnecting'))
        first = names['channels'].publish('news', 'one')
        names['channels'].publish('news', 'two')
        with connect(names['app'], f'/?since={first}') as ws:
            assert json.loads(ws.receive(timeout=5) or '')['data'] == 'two'

    def test_a_session_authenticates_the_client(self) -> None:
        app = run(block("session.get('user')", 'authentication'), __name__='app')['app']
        assert connect(app, '/inbox', refused=True).status == 401
        browser = app.test_client()
        with browser.session_transaction() as session:
            session['user'] = 'ada'
        cookie = f'session={browser.get_cookie("session").value}'
        with connect(app, '/inbox', headers={'Cookie': cookie}) as ws:
            assert ws.receive(timeout=5) == 'hello ada'

    def test_the_first_message_authenticates_the_client(self) -> None:
        names = run(block('ws.close(3000', 'authentication'), __name__='app')
        with connect(names['app'], '/inbox') as ws:
            ws.send(names['tokens'].dumps('ada'))
            assert ws.receive(timeout=5) == 'hello ada'
        with connect(names['app'], '/inbox') as ws:
            ws.send('a token of mine')
            assert ws.receive(timeout=5) is None
            with pytest.raises(ConnectionClosed, match='3000'):
                ws.receive()

    def test_the_subprotocol_authenticates_the_client(self) -> None:
        names = run(block("startswith('token.')", 'authentication'), __name__='app')
        token = names['tokens'].dumps('ada')
        with connect(names['app'], '/inbox', protocols=['chat', f'token.{token}']) as ws:
            assert (ws.protocol, ws.receive(timeout=5)) == ('chat', 'hello ada')
        assert connect(names['app'], '/inbox', protocols=['chat'], refused=True).status == 401

    def test_the_producer_waits_for_its_reader(self) -> None:
        with connect(run(block("overflow='block'", 'backpressure'))['app']) as ws:
            lines = list(ws)
        assert lines == [f'line {number}\n' * 100 for number in range(1000)]

    def test_the_server_echoes(self, capsys: pytest.CaptureFixture[str]) -> None:
        app = run(block("WebSocket(environ, ['chat'], ping=30)", 'handlers'))['app']
        with connect(app, protocols=['chat']) as ws:
            ws.send('hello')
            assert (ws.protocol, ws.receive(timeout=5)) == ('chat', 'hello')
        assert capsys.readouterr().out == 'close 1000 \n'

    def test_the_server_in_blocking_style_echoes(self) -> None:
        app = run(block('with WebSocket(environ) as ws:', 'handlers'))['app']
        with connect(app) as ws:
            ws.send('you')
            ws.send('again')
            assert [ws.receive(timeout=5), ws.receive(timeout=5)] == ['hello, you', 'again']

    def test_the_event_source_sends_its_events(self) -> None:
        app = run(block('if EventSource.is_eventsource(environ):', 'eventsource'))['app']
        environ = {'REQUEST_METHOD': 'GET', 'HTTP_HOST': 'localhost', 'HTTP_ACCEPT': 'text/event-stream'}
        heads: list[tuple[str, list[tuple[str, str]]]] = []
        body = app(environ, lambda *head: heads.append(head))
        received, chunks = b'', iter(body)
        while b'News' not in received:
            received += next(chunks)
        body.close()
        assert heads[0][0] == '200 OK'
        lines = received.decode().splitlines()
        assert lines[0] == 'retry: 10000'
        assert [line for line in lines[1:] if line] == ['data: Hello', 'event: notification', 'id: 99', 'data: Breaking News!']

    def test_the_compressing_server_compresses(self) -> None:
        app = run(block('extensions=[deflate]', 'compression'))['app']
        with connect(app, extensions=[PermessageDeflate()]) as ws:
            ws.send('hello ' * 100)
            assert ws.receive(timeout=5) == 'hello ' * 100
            assert ws.extensions == 'permessage-deflate; server_max_window_bits=12'

    def test_the_flask_view_echoes(self) -> None:
        app = run(block("session['visits']", 'frameworks'), __name__='shop')['app']
        with connect(app, '/rooms/red') as ws:
            ws.send('hello')
            assert ws.receive(timeout=5) == 'red: hello'
            assert 'Set-Cookie' in ws.headers

    def test_the_django_views_send(self) -> None:
        settings = import_module('django.conf').settings
        if not settings.configured:
            settings.configure(LOGGING_CONFIG=None, SECRET_KEY='secret' * 9, STATIC_URL='/static/')
        request_of = import_module('django.core.handlers.wsgi').WSGIRequest
        enter = run(block('def enter(request, name):', 'frameworks'))['enter']

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            response = enter(request_of(environ), 'red')
            start_response(f'{response.status_code} {response.reason_phrase}', list(response.items()))
            return response

        with connect(app) as ws:
            ws.send('hello')
            assert ws.receive(timeout=5) == 'red: hello'

        events = run(block('def events(request):', 'frameworks'))['events']
        response = events(request_of({'REQUEST_METHOD': 'GET', 'HTTP_HOST': 'localhost', 'wsgi.input': BytesIO()}))
        assert response['Content-Type'] == 'text/event-stream'
        assert next(iter(response)).startswith(b'retry: 5000')
        response.close()

    def test_the_view_with_a_context_knows_its_user_and_path(self) -> None:
        app = run(block('context=copy_context()', 'frameworks'), __name__='shop')['app']
        browser = app.test_client()
        with browser.session_transaction() as session:
            session['user'] = 'ada'
        with connect(app, '/rooms/red', cookies=browser) as ws:
            ws.send('hello')
            assert ws.receive(timeout=5) == 'ada in /rooms/red: hello'

    def test_the_middleware_echoes(self) -> None:
        app = run(block('site = Bottle()', 'frameworks'))['app']
        assert isinstance(app, SocketMiddleware)
        with connect(app, '/echo') as ws:
            ws.send('hello')
            assert ws.receive(timeout=5) == 'hello'

    @pytest.mark.parametrize('text', ['def test_echo():', 'def test_redirects', 'pytest.raises(KeyError)'])
    def test_the_tests_in_the_manual_pass(self, text: str) -> None:
        names = run(block(text, 'testing'), __name__='test_hello')
        tests = [test for name, test in names.items() if name.startswith('test_')]
        assert tests
        for test in tests:
            test()

    @pytest.mark.proves('M2')
    def test_the_routes_pass_arguments_and_options(self) -> None:
        app = run(block("'/rooms/<int:number>': room", 'frameworks'))['app']
        for path in ('/rooms/7', '/floors/first/rooms/7'):
            with connect(app, path) as ws:
                assert ws.receive(timeout=5) == 'room 7'
        with connect(app, '/upload') as ws:
            ws.send(bytes(1000))
            assert ws.receive(timeout=5) == '1000'

    def test_the_adapter_is_registered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hijack, 'ADAPTERS', hijack.ADAPTERS.copy())
        take = run(block('register_adapter(', 'servers'))['take']
        assert hijack.ADAPTERS['example'].find_socket is take
        assert take({}) is None
        assert take({'example.socket': 1, 'example.unread': b''}) == (1, b'')

    def test_two_drivers_exchange_a_message_in_memory(self, capsys: pytest.CaptureFixture[str]) -> None:
        run(block('driver.client(here), driver.server(there)', 'driver'))
        assert capsys.readouterr().out == 'HELLO\n'

    def test_the_extension_reverses_binary_messages_on_the_wire(self) -> None:
        reverse = run(block('class Reversed:', 'extensions'))['Reversed']
        IO = run(block('driver.client(here)', 'driver'))['IO']  # noqa: N806 - a class
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
        return page('porting-from-ruby')

    @pytest.mark.parametrize('name', SEED)
    def test_mentions_every_name_in_the_first_readme(self, name: str) -> None:
        assert name in self.text()

    def test_mentions_every_public_name_of_the_ruby_library(self) -> None:
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
    def test_the_client_prints_the_message_and_the_close_code(self, capsys: pytest.CaptureFixture[str]) -> None:
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
    def test_the_rooms_receive_their_names(self) -> None:
        app = run(block('re.compile(', 'porting-from-python'))['app']
        for path in ('/rooms/red', '/old-rooms/red'):
            with connect(app, path) as ws:
                ws.send('hello')
                assert ws.receive(timeout=5) == 'red: hello'

    def test_the_ported_ruby_program_is_the_example(self) -> None:
        [(_, after)] = diffs_of(ROOT / 'docs' / 'porting-from-ruby.rst')
        _, _, program = (ROOT / 'examples' / 'ported_from_ruby.py').read_text().partition('\n"""\n')
        lines = lambda source: [line for line in source.splitlines() if line]
        assert lines(after) == lines(program)


class TestLinkChecker:
    CHECKER = ROOT / 'docs' / 'check_links.py'

    def check(self, directory: Path, *options: str) -> tuple[int, list[str]]:
        """Return the exit status of the program, and the lines that it prints."""
        command = [sys.executable, str(self.CHECKER), str(directory), *options]
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

    def test_finds_dead_links(self, tmp_path: Path) -> None:
        (tmp_path / 'index.html').write_text('<a href="gone.html">1</a><a href="#nowhere">2</a><img src="gone.svg">')
        assert self.check(tmp_path) == (1, [
            'index.html: there is no gone.html', 'index.html: nothing is called #nowhere', 'index.html: there is no gone.svg',
            '1 pages, 3 dead links'])

    def test_lists_the_links_to_other_sites(self, tmp_path: Path) -> None:
        (tmp_path / 'index.html').write_text('<a href="https://b.example/">1</a><a href="//a.example">2</a><a href="#">3</a>')
        assert self.check(tmp_path, '--external') == (0, ['//a.example', 'https://b.example/', '1 pages, 0 dead links'])

    def test_fails_if_there_are_no_pages(self, tmp_path: Path) -> None:
        assert self.check(tmp_path) == (1, ['0 pages, 0 dead links'])


class TestNameLinks:
    NAMES = (
        'faye_websocket.WebSocket', 'faye_websocket.WebSocket.send', 'faye_websocket.Client.body',
        'faye_websocket.EventSource.url', 'faye_websocket.broadcast', 'faye_websocket.metrics.enable',
        'faye_websocket.CloseCode.GOING_AWAY')

    @pytest.mark.parametrize(('text', 'name'), [
        ('WebSocket', 'faye_websocket.WebSocket'),
        ('WebSocket(environ, protocols=None, ...)', 'faye_websocket.WebSocket'),
        ('ws.send(message)', 'faye_websocket.WebSocket.send'),
        ('ws.body', 'faye_websocket.Client.body'),
        ('es.send(data)', 'faye_websocket.WebSocket.send'),
        ('es.url', 'faye_websocket.EventSource.url'),
        ('broadcast(sockets, message)', 'faye_websocket.broadcast'),
        ('metrics.enable()', 'faye_websocket.metrics.enable'),
        ('CloseCode.GOING_AWAY', 'faye_websocket.CloseCode.GOING_AWAY'),
        ('send', None), ('ws.unknown', None), ('https://example.com/', None), ('', None)])
    def test_a_text_links_to_a_name_in_the_reference(self, text: str, name: str | None) -> None:
        path = DOCS / 'name_links.py'
        assert run(path.read_text(), __file__=str(path))['full_name'](text, self.NAMES) == name
