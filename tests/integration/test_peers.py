"""WebSocket libraries in other languages, and a browser, as clients of each server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.browser import chromium, wait_for_text
from tests.integration.conftest import ServerPool, Setting
from tests.support.processes import environment
from tests.support.programs import cache_directory, give_up, require_module, require_program
from tests.support.servers import SERVERS, Server, serve

PEERS = Path(__file__).with_name('peers')

TEXT = 'h\u00e9llo \u2603 \U0001f600'

#: The output of every peer: see peers/README.
EXPECTED = [f'text {TEXT}', f'binary {bytes(range(256)).hex()}', 'close 3001']

#: Seconds in which a peer's program must end.
DEADLINE = 30

transports = [pytest.param(Setting(kind, tls, 'echo'), id=f'{kind}-{"tls" if tls else "plain"}')
              for kind in SERVERS for tls in (False, True)]


@pytest.fixture(params=transports)
def server(server_pool: ServerPool, request: pytest.FixtureRequest) -> Server:
    """Each server with the echo application, plain and TLS."""
    return server_pool.get(request.param)


@pytest.fixture(scope='session')
def node_modules() -> Path:
    """The Node libraries of peers/package-lock.json, installed once into the cache."""
    npm = require_program('npm', 'install Node.js 20, https://nodejs.org/')
    directory = cache_directory('peers')
    if is_outdated(directory):
        for name in ('package.json', 'package-lock.json', 'client.mjs'):
            shutil.copy(PEERS / name, directory)
        install_node_modules(npm, directory)
    return directory


def install_node_modules(npm: str, directory: Path) -> None:
    """Install what the lock file there says."""
    try:
        subprocess.run([npm, 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], cwd=directory, check=True,
                       capture_output=True, text=True, timeout=120)
    except subprocess.SubprocessError as error:
        give_up(f'npm cannot install the Node libraries: {error}\n{getattr(error, "stderr", "")}')


def is_outdated(directory: Path) -> bool:
    """Return whether the installed libraries differ from the lock file."""
    names = ('package.json', 'package-lock.json', 'client.mjs')
    return not (directory / 'node_modules').is_dir() or any(
        not (directory / name).exists() or (directory / name).read_text() != (PEERS / name).read_text()
        for name in names)


def assert_echoes(server: Server, path: str, *command: str) -> None:
    """Run a peer against the server, and compare its output."""
    authority = [server.certificate.authority] if server.certificate else []
    run = subprocess.run([*command, server.ws_url(path), *authority], capture_output=True, text=True, timeout=DEADLINE,
                         env=environment())
    assert (run.stdout.splitlines(), run.stderr) == (EXPECTED, '')


def test_ruby_faye_websocket(server: Server, path: str) -> None:
    ruby = require_program('ruby', 'apt-get install ruby-faye-websocket')
    assert_echoes(server, path, ruby, str(PEERS / 'client.rb'))


@pytest.mark.parametrize('library', ['ws', 'faye-websocket'])
def test_node(server: Server, path: str, library: str, node_modules: Path) -> None:
    node = require_program('node', 'install Node.js 20, https://nodejs.org/')
    assert_echoes(server, path, node, '--no-deprecation', str(node_modules / 'client.mjs'), library)


def test_python_websockets(server: Server, path: str) -> None:
    require_module('websockets', 'pip install websockets')
    assert_echoes(server, path, sys.executable, str(PEERS / 'client_websockets.py'))


def test_python_websocket_client(server: Server, path: str) -> None:
    require_module('websocket', 'pip install websocket-client')
    assert_echoes(server, path, sys.executable, str(PEERS / 'client_websocket_client.py'))


@pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
@pytest.mark.parametrize('kind', SERVERS)
def test_a_browser_shows_the_echo_on_the_page_of_the_example(kind: str, tls: bool, tmp_path: Path) -> None:
    with serve(kind, 'examples.app:app', tls=tls, tmp_path=tmp_path) as server, chromium(tmp_path) as browser:
        browser.get(f'{server.http_url}/')
        wait_for_text(browser, '#status', 'open')
        for message in ('h\u00e9llo \u2603', 'a second one'):
            browser.find_element('css selector', '#message').send_keys(message)
            browser.find_element('css selector', '#send').click()
            wait_for_text(browser, '#log li.back:last-child', message)


def test_a_browser_echoes_binary_and_closes(server: Server, path: str, tmp_path: Path) -> None:
    with chromium(tmp_path) as browser:
        browser.get(f'{server.http_url}/')
        seen = browser.execute_async_script((PEERS / 'client_browser.js').read_text(), server.ws_url(path))
    assert seen == EXPECTED
