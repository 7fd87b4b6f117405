"""The plugin of pytest: its fixture, and that it is loaded by name only."""

from __future__ import annotations

from typing import Any

import pytest

from faye_websocket import Client, HandshakeError, WebSocket
from faye_websocket.pytest import Connect

pytest_plugins = ['faye_websocket.pytest', 'pytester']


def app(environ: dict[str, Any], start_response: Any) -> Any:
    ws = WebSocket(environ, allowed_origins=['https://good.example'])
    ws.onmessage = lambda event: ws.send(event.data)
    return ws(environ, start_response)


PROGRAM = """
import gevent, pytest
from faye_websocket import WebSocket

clients, codes = [], []

def app(environ, start_response):
    ws = WebSocket(environ)
    ws.onmessage = lambda event: 1 // 0
    ws.onclose = lambda event: codes.append(event.code)
    return ws(environ, start_response)

def test_opens(websocket_connect):
    clients.extend([websocket_connect(app), websocket_connect(app, '/other')])
    assert codes == []

def test_finds_them_closed():
    assert codes == [1000, 1000]

def test_faults(websocket_connect):
    websocket_connect(app).send('hello')
    gevent.sleep(0.01)

def test_expects_a_fault(websocket_connect):
    with pytest.raises(ZeroDivisionError), websocket_connect(app) as ws:
        ws.send('hello')
"""


def test_the_fixture_connects(websocket_connect: Connect) -> None:
    ws = websocket_connect(app, '/echo?user=7')
    assert isinstance(ws, Client)
    ws.send('hello')
    assert ws.receive(timeout=1) == 'hello'


def test_the_fixture_takes_the_options_of_connect(websocket_connect: Connect) -> None:
    headers = {'Origin': 'https://bad.example'}
    with pytest.raises(HandshakeError, match='403'):
        websocket_connect(app, headers=headers)
    assert websocket_connect(app, headers=headers, refused=True).status == 403


@pytest.mark.proves('F3')
def test_sockets_are_closed_at_the_end_of_the_test_and_faults_are_errors(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"pytest_plugins = ['faye_websocket.pytest']\n{PROGRAM}")
    result = pytester.runpytest('-p', 'no:randomly')
    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(['*ERROR at teardown of test_faults*'])


@pytest.mark.skipif(pytest.version_tuple < (8, 2), reason='this pytest shows the first error of a fixture')
def test_faults_of_several_sockets_are_shown_beside_a_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"""pytest_plugins = ['faye_websocket.pytest']\n{PROGRAM}
def fail(environ, start_response):
    ws = WebSocket(environ)
    ws.onmessage = lambda event: [].pop()
    return ws(environ, start_response)

def test_fails(websocket_connect):
    for each in (app, fail):
        websocket_connect(each).send('hello')
    gevent.sleep(0.01)
    assert codes == 'expected'
""")
    result = pytester.runpytest('-k', 'test_fails')
    result.assert_outcomes(failed=1, errors=1, deselected=4)
    for line in ('IndexError: pop from empty list', 'ZeroDivisionError: *', "AssertionError: assert * == 'expected'"):
        result.stdout.fnmatch_lines([f'*{line}'])


@pytest.mark.proves('F3')
def test_it_is_not_loaded_unless_it_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROGRAM)
    result = pytester.runpytest_subprocess('-k', 'test_opens')
    result.stdout.fnmatch_lines(["E * fixture 'websocket_connect' not found"])
