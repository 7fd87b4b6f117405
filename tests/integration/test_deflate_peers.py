"""permessage-deflate with other libraries, which are in peers, and with a browser."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from gevent import subprocess

from faye_websocket import Client, PermessageDeflate
from tests.integration.browser import chromium
from tests.integration.test_client_peers import running
from tests.integration.test_peers import PEERS, node_modules
from tests.support import local
from tests.support.processes import environment
from tests.support.programs import require_module, require_program
from tests.support.servers import serve

__all__ = ['node_modules']

#: Every window that zlib can write, and no window, with and without context takeover.
CONFIGURATIONS = [{'bits': bits, 'context': context} for context in (True, False) for bits in (None, *range(9, 16))]

#: Messages that are shorter and longer than a window.
MESSAGES = ['', 'h\u00e9llo \u2603 \U0001f600', *['{"id": 12345, "name": "somebody"}' * count for count in (1, 30, 30, 3000)]]

#: Seconds for a program, which makes an exchange for each configuration.
DEADLINE = 60

SERVER_FLAG, CLIENT_FLAG = 'server_no_context_takeover', 'client_no_context_takeover'
SERVER_BITS, CLIENT_BITS = 'server_max_window_bits', 'client_max_window_bits'


def parameters(agreed: str) -> dict[str, str]:
    """Return the parameters of the only extension agreed on."""
    name, *parts = agreed.split('; ')
    assert name == 'permessage-deflate'
    return dict(part.partition('=')[::2] for part in parts)


def expected(bits: int | None, context: bool) -> dict[str, str]:
    """Return the agreement that is expected when a client asks for this."""
    flags = {} if context else {SERVER_FLAG: '', CLIENT_FLAG: ''}
    return flags if bits is None else {**flags, SERVER_BITS: str(bits), CLIENT_BITS: str(bits)}


def run_client(*command: str) -> list[dict[str, str]]:
    """Return the agreement of a peer with our server in each configuration."""
    def echo(ws: Any) -> None:
        ws.on('message', lambda event: ws.send(event.data))

    with local.serve(echo, extensions=[PermessageDeflate(threshold=0)]) as server:
        run = subprocess.run(
            [*command, f'ws://127.0.0.1:{server.wsgi.server_port}/', json.dumps(CONFIGURATIONS), json.dumps(MESSAGES)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE, env=environment())
        assert run.stderr == b''
        agreed = run.stdout.decode().splitlines()
        assert [record.ws.extensions for record in server.records] == agreed
        assert [record.messages for record in server.records] == [MESSAGES] * len(CONFIGURATIONS)
        return [parameters(line) for line in agreed]


class TestTheirClient:
    def test_node_ws(self, node_modules: Path) -> None:
        node = require_program('node', 'install Node.js 20, https://nodejs.org/')
        program = shutil.copy(PEERS / 'deflate_client.mjs', node_modules)
        assert run_client(node, str(program)) == [expected(**each) for each in CONFIGURATIONS]

    def test_python_websockets(self) -> None:
        require_module('websockets', 'pip install websockets')
        found = run_client(sys.executable, str(PEERS / 'deflate_client_websockets.py'))
        assert found == [expected(**each) for each in CONFIGURATIONS]

    def test_aiohttp(self) -> None:
        require_module('aiohttp', 'pip install aiohttp')
        found = run_client(sys.executable, str(PEERS / 'deflate_client_aiohttp.py'))
        # aiohttp limits the server's window only, and omits 15, which is no limit.
        assert found == [{SERVER_BITS: str(bits)} if bits not in (None, 15) else {} for bits in windows()]


def windows() -> list[Any]:
    """Return the windows of the configurations."""
    return [each['bits'] for each in CONFIGURATIONS]


def options(bits: int | None, context: bool) -> dict[str, Any]:
    """Return the options of our client that ask for a configuration."""
    return {'no_context_takeover': not context, 'request_no_context_takeover': not context, 'max_window_bits': bits,
            'request_max_window_bits': bits}


def assert_echoes(url: str, **options: Any) -> dict[str, str]:
    """Check that every message comes back, and return the agreement with the server."""
    with Client(url, extensions=[PermessageDeflate(threshold=0, **options)]) as ws:
        for message in MESSAGES:
            ws.send(message)
            ws.send(message.encode())
        for message in MESSAGES:
            assert ws.receive(DEADLINE) == message
            assert ws.receive(DEADLINE) == message.encode()
        return parameters(ws.extensions)


class TestTheirServer:
    def test_node_ws(self, tmp_path: Path, node_modules: Path) -> None:
        node = require_program('node', 'install Node.js 20, https://nodejs.org/')
        program = shutil.copy(PEERS / 'deflate_server.mjs', node_modules)
        with running(tmp_path, node, str(program)) as port:
            for each in CONFIGURATIONS:
                assert assert_echoes(f'ws://127.0.0.1:{port}/', **options(**each)) == expected(**each)

    def test_python_websockets(self, tmp_path: Path) -> None:
        require_module('websockets', 'pip install websockets')
        with running(tmp_path, sys.executable, str(PEERS / 'deflate_server_websockets.py')) as port:
            for each in CONFIGURATIONS:
                assert assert_echoes(f'ws://127.0.0.1:{port}/', **options(**each)) == expected(**each)

    def test_aiohttp(self, tmp_path: Path) -> None:
        require_module('aiohttp', 'pip install aiohttp')
        with running(tmp_path, sys.executable, str(PEERS / 'server_aiohttp.py')) as port:
            for each in CONFIGURATIONS:
                # aiohttp knows the server's parameters only, and omits 15, which is no
                # limit.
                asked = {name: value for name, value in options(**each).items() if name.startswith('request')}
                wanted = {SERVER_BITS: str(each['bits'])} if each['bits'] not in (None, 15) else {}
                wanted |= {} if each['context'] else {SERVER_FLAG: ''}
                assert assert_echoes(f'ws://127.0.0.1:{port}/', **asked) == wanted


def test_chromium(tmp_path: Path) -> None:
    script = """
        const [url, text, done] = arguments, seen = [], ws = new WebSocket(url);
        ws.onopen = () => ws.send(text);
        ws.onmessage = ({ data }) => { seen.push(data === text); seen.length < 3 ? ws.send(text) : ws.close(); };
        ws.onclose = ({ code }) => done([ws.extensions, seen, code]);
    """
    with serve('pywsgi', 'examples.app:app', tmp_path=tmp_path) as server, chromium(tmp_path) as browser:
        browser.get(f'{server.http_url}/')
        found = browser.execute_async_script(script, server.ws_url('/'), MESSAGES[-1])
    assert found == ['permessage-deflate', [True, True, True], 1005]
