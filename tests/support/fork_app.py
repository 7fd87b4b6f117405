"""The application of the tests of forks.

Like OpenTelemetry's BatchSpanProcessor, it has an at-fork handler that lets other
greenlets run. A WebSocket echoes with the pid of the process; an event source counts
with the pid. ``/run`` runs 150 programs, and ``/fork`` forks 150 times in the view,
both with gevent active in the child. ``/hold`` makes a child that sleeps for minutes,
with a copy of all descriptors. ``?ping=0.1`` is an option of WebSocket. ``/-/census``
reports the objects that the process holds. Importing this module patches the process.
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
    # gunicorn's workers are patched already.
    monkey.patch_all()
# Registered before our handlers, so that the hub of a child runs before them.
os.register_at_fork(after_in_child=lambda: gevent.sleep(0.003))

from faye_websocket import EventSource, WebSocket  # noqa: E402
from tests.support.apps import Environ, StartResponse, record_events  # noqa: E402
from tests.support.holdings import take_census  # noqa: E402

#: The number of children for each request.
FORKS = 150


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Serve a request."""
    path = environ['PATH_INFO']
    if WebSocket.is_websocket(environ):
        options: Any = {name: float(value) for name, value in parse_qsl(environ['QUERY_STRING'])}
        ws = WebSocket(environ, **options)
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
    """Send events until the end. A child has a copy of this greenlet."""
    for number in count():
        if es.ready_state > EventSource.OPEN:
            break
        es.send(f'{number} {os.getpid()}')
        gevent.sleep(0.002)


def run_programs() -> int:
    """Run programs; each of them is a forked child first."""
    for _ in range(FORKS):
        subprocess.run(['true'], check=True)
    return os.getpid()


def fork_in_the_view() -> int:
    """Fork children in which gevent runs for a moment."""
    for _ in range(FORKS):
        pid = os.fork()
        if not pid:
            gevent.sleep(0.003)
            os._exit(0)
        os.waitpid(pid, 0)
    return os.getpid()


def hold() -> int:
    """Fork a child that keeps copies of all descriptors and never runs gevent; return
    its pid.
    """
    pid = monkey.get_original('os', 'fork')()
    if not pid:
        monkey.get_original('time', 'sleep')(600)
        os._exit(1)
    return int(pid)


ANSWERS: dict[str, Callable[[], Any]] = {
    '/run': run_programs, '/fork': fork_in_the_view, '/hold': hold, '/-/census': take_census}
