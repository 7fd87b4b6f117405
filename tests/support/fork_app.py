"""The application of the tests of forks, which has what OpenTelemetry's BatchSpanProcessor has: an at-fork handler that yields.

A WebSocket sends back what comes, with the pid of the process that does; an event source counts, with the same pid. `/run`
runs 150 programs, `/fork` forks 150 times in the view, both with gevent at work in the child; `/hold` makes a child that does
nothing for a minute, with a copy of all descriptors. `?ping=0.1` is an option of WebSocket's. `/-/census` tells what the
process holds. To import this module patches the process.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

import gevent
from gevent import monkey

if not monkey.is_module_patched('subprocess'):
    # gunicorn's workers have done so.
    monkey.patch_all()
# Registered before ours: the hub of a child runs before any handler of ours has.
os.register_at_fork(after_in_child=lambda: gevent.sleep(0.003))

from faye_websocket import EventSource, WebSocket  # noqa: E402
from tests.support.apps import Environ, StartResponse, record_events  # noqa: E402
from tests.support.holdings import take_census  # noqa: E402

#: How many children a request makes.
FORKS = 150


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The WSGI application."""
    path = environ['PATH_INFO']
    if WebSocket.is_websocket(environ):
        ws = WebSocket(environ, **{name: float(value) for name, value in parse_qsl(environ['QUERY_STRING'])})
        record_events(ws, path)
        ws.on('message', lambda event: ws.send(f'{event.data} {os.getpid()}'))
        return ws(environ, start_response)
    if EventSource.is_eventsource(environ):
        es = EventSource(environ)
        record_events(es, path)
        gevent.spawn(tick, es)
        return es(environ, start_response)
    answer = ANSWERS.get(path, os.getpid)()
    body = json.dumps(answer).encode()
    start_response('200 OK', [('Content-Type', 'application/json'), ('Content-Length', str(len(body)))])
    return [body]


def tick(es: Any) -> None:
    """Events until the end; a child has a copy of this greenlet."""
    for number in count():
        if es.ready_state > EventSource.OPEN:
            break
        es.send(f'{number} {os.getpid()}')
        gevent.sleep(0.002)


def run_programs() -> int:
    """Programs, each of which is a forked child before it is itself."""
    for _ in range(FORKS):
        subprocess.run(['true'], check=True)
    return os.getpid()


def fork_in_the_view() -> int:
    """Children in which gevent goes on for a moment."""
    for _ in range(FORKS):
        pid = os.fork()
        if not pid:
            gevent.sleep(0.003)
            os._exit(0)
        os.waitpid(pid, 0)
    return os.getpid()


def hold() -> int:
    """A child that holds a copy of every descriptor, and does nothing, not even for gevent; its pid."""
    pid = monkey.get_original('os', 'fork')()
    if not pid:
        monkey.get_original('time', 'sleep')(60)
        os._exit(1)
    return int(pid)


ANSWERS: dict[str, Callable[[], Any]] = {
    '/run': run_programs, '/fork': fork_in_the_view, '/hold': hold, '/-/census': take_census}
