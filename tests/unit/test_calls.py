"""Compiled functions that call each other in a circle: they raise RecursionError."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.processes import ROOT, environment

PAIR = """
from types import SimpleNamespace
from faye_websocket import driver
from tests.support.local import make_environ
from tests.support.scripted import acceptance

server_io = SimpleNamespace(environ=make_environ(), write=lambda data: None)
server = driver.wsgi(server_io)
server.start()
written = []
client_io = SimpleNamespace(url='ws://example.com/', write=written.append)
client = driver.client(client_io)
client.start()
client.parse(acceptance(written[0]))
server_io.write, client_io.write = client.parse, server.parse
"""

#: In the compiled form, each is a circle of compiled functions only.
CIRCLES = {
    'handlers': """
from faye_websocket.events import EventTarget, MessageEvent
a, b = EventTarget(), EventTarget()
a.onmessage, b.onmessage = b.dispatch_event, a.dispatch_event
run = lambda: a.dispatch_event(MessageEvent('x'))
""",
    'listeners': """
from faye_websocket.events import Event, EventTarget
a, b = EventTarget(), EventTarget()
a.on('open', b.dispatch_event)
b.on('open', a.dispatch_event)
run = lambda: a.dispatch_event(Event('open'))
""",
    'drivers': PAIR + """
server.on('message', server.text)
client.on('message', client.text)
run = lambda: client.text('x')
""",
    'pings': PAIR + """
client.on('pong', client.ping)
run = client.ping
""",
    'writers': PAIR + """
server_io.write = server.binary
run = lambda: server.binary(b'x')
""",
    'extensions': """
from faye_websocket.errors import ExtensionFailure
from faye_websocket.extensions.pipeline import Message, Pipeline
extension = SimpleNamespace(name='x', rsv1=True, rsv2=False, rsv3=False)
session = SimpleNamespace(generate_response=dict)
extension.create_server_session = lambda offers: session
pipeline = Pipeline([extension])
assert pipeline.generate_response('x')
session.process_incoming_message = pipeline.process_incoming_message

def run():
    try:
        pipeline.process_incoming_message(Message(1, b'x', 0))
    except ExtensionFailure as error:
        raise error.__cause__
""",
}

#: Sockets contain the exceptions of their handlers.
CONTAINED = {
    'sockets': """
from faye_websocket import WebSocket
from faye_websocket.events import MessageEvent
from tests.support.local import make_environ
a, b = WebSocket(make_environ()), WebSocket(make_environ())
a.onmessage, b.onmessage = b.dispatch_event, a.dispatch_event
assert a.dispatch_event(MessageEvent('x'))
assert logged.getvalue().count('message handler of ws://example.com/ raised') == 1
""",
    'onerror': """
from faye_websocket import WebSocket
from faye_websocket.events import ErrorEvent
from tests.support.local import make_environ
a = WebSocket(make_environ())
a.onerror = a.dispatch_event
assert a.dispatch_event(ErrorEvent('x'))
assert 'RecursionError' in logged.getvalue()
""",
    'event sources': """
from faye_websocket import EventSource
from faye_websocket.events import Event
from tests.support.local import make_environ
a = EventSource(make_environ())
a.onopen = a.dispatch_event
assert a.dispatch_event(Event('open'))
assert 'open handler of http://example.com/ raised' in logged.getvalue()
""",
}

LOG = """
import io, logging
from types import SimpleNamespace
logged = io.StringIO()
logging.basicConfig(stream=logged)
"""

RUN = """
try:
    run()
except RecursionError as error:
    print('RecursionError')
"""


def run(program: str) -> str:
    """Return the output of a program, which must not crash."""
    command = [sys.executable, '-X', 'faulthandler', '-c', program]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize('name', CIRCLES)
def test_a_circle_ends_in_a_recursion_error(name: str) -> None:
    assert run(LOG + CIRCLES[name] + RUN) == 'RecursionError\n'


@pytest.mark.proves('C2')
@pytest.mark.parametrize('name', CONTAINED)
def test_a_circle_of_sockets_is_a_fault_of_their_handlers(name: str) -> None:
    run(LOG + CONTAINED[name])


def test_a_deep_chain_that_ends_does_not_raise() -> None:
    program = """
from faye_websocket.events import EventTarget, MessageEvent
targets = [EventTarget() for _ in range(200)]
for target, following in zip(targets, targets[1:]):
    target.onmessage = following.dispatch_event
targets[-1].onmessage = lambda event: print(event.data)
for _ in range(3):
    targets[0].dispatch_event(MessageEvent('x'))
"""
    assert run(program) == 'x\n' * 3
