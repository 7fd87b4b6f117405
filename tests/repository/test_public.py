"""The public names, and the effects of importing them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import faye_websocket
from tests.support.processes import ROOT

NAMES = ['Client', 'CloseCode', 'CloseEvent', 'ConnectError', 'ConnectionClosed', 'ErrorEvent', 'Event', 'EventSource',
         'HandshakeError', 'MessageEvent', 'PermessageDeflate', 'broadcast', 'SocketMiddleware', 'UnsupportedServer',
         'WebSocket', 'WebSocketError', 'close_all',
         'is_eventsource', 'is_websocket', 'register_adapter']


@pytest.mark.parametrize('name', NAMES)
def test_a_public_name_exists_and_is_documented(name: str) -> None:
    assert name in faye_websocket.__all__
    assert getattr(faye_websocket, name).__doc__


@pytest.mark.proves('H11')
def test_importing_patches_nothing() -> None:
    program = """
import socket, ssl, threading, time, select, os, signal
modules = [socket, ssl, threading, time, select, os, signal]
before = [dict(vars(module)) for module in modules]
handlers = [signal.getsignal(number) for number in signal.valid_signals()]
import faye_websocket, faye_websocket.__main__
import gevent.monkey
assert [dict(vars(module)) for module in modules] == before
assert [signal.getsignal(number) for number in signal.valid_signals()] == handlers
assert not gevent.monkey.saved
assert gevent.hub._get_hub() is None
"""
    command = [sys.executable, '-W', 'error', '-c', program]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert (result.returncode, result.stderr) == (0, '')


@pytest.mark.proves('H11')
def test_works_in_a_monkey_patched_process() -> None:
    program = """
import gevent.monkey; gevent.monkey.patch_all()
import threading
from tests.support.local import joined
with joined() as pair:
    ws, client = pair.open()
    thread = threading.Thread(target=ws.send, args=('from a greenlet that poses as a thread',))
    thread.start()
    print(client.receive_frame().payload.decode())
"""
    result = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert (result.stdout, result.stderr) == ('from a greenlet that poses as a thread\n', '')
