"""Applications with event sources for every server, and a WebSocket for browsers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

from tests.support.apps import Environ, StartResponse, hello, obey, record_events

#: The seconds between two events of the clock.
TICK = 0.01
TICKS = 100


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Serve a request."""
    from faye_websocket import EventSource, WebSocket

    if WebSocket.is_websocket(environ):
        return browser_socket(environ)(environ, start_response)
    if environ['PATH_INFO'] == '/gone' and environ.get('HTTP_LAST_EVENT_ID'):
        start_response('204 No Content', [])
        return []
    if not EventSource.is_eventsource(environ):
        return hello(start_response)
    return source(environ)(environ, start_response)


def browser_socket(environ: Environ) -> Any:
    """Return a WebSocket that echoes and obeys."""
    from faye_websocket import PermessageDeflate, WebSocket

    ws = WebSocket(environ, ['chat'], extensions=[PermessageDeflate()])
    record_events(ws, environ['PATH_INFO'])
    ws.on('message', lambda event: obey(ws, event.data))
    return ws


def source(environ: Environ) -> Any:
    """Return an event source that sends the events its path names."""
    from faye_websocket import EventSource

    options: Any = {name: float(value) for name, value in parse_qsl(environ['QUERY_STRING']) if name in ('ping', 'retry')}
    es = EventSource(environ, **options)
    record_events(es, environ['PATH_INFO'])
    work = next((work for path, work in WORK.items() if environ['PATH_INFO'].startswith(path)), None)
    if work is not None:
        # A thread of the server's kind: under gunicorn's gevent worker it is a
        # greenlet.
        threading.Thread(target=work, args=(es,), daemon=True).start()
    return es


def ten(es: Any) -> None:
    """Send ten events, one after another."""
    for number in range(10):
        es.send(f'event\n{number}', id=number)
        time.sleep(TICK)
    es.close()


def clock(es: Any) -> None:
    """Send the time, which all processes of this machine share."""
    for _ in range(TICKS):
        es.send(time.monotonic())
        time.sleep(TICK)
    es.close()


def feed(es: Any) -> None:
    """Send the three events after the last one, and close."""
    last = int(es.last_event_id or 0)
    for number in range(last + 1, last + 4):
        es.send(number, id=number)
    es.close()


def kinds(es: Any) -> None:
    """Send each kind of event."""
    es.send('plain')
    es.send('', id='\xfc\u2603')
    es.send('two\nlines\r\n  and a blank', event='news')
    es.send('<b>\u2028 \U0001f600', event='news', id='2')


WORK: dict[str, Callable[[Any], None]] = {'/ten': ten, '/clock': clock, '/feed': feed, '/kinds': kinds, '/gone': feed}


def flask_app() -> Any:
    """Return the application in Flask, with compression of everything."""
    from flask import Flask, request
    from flask_compress import Compress

    flask = Flask(__name__)
    flask.config['COMPRESS_MIMETYPES'] = ['text/event-stream', 'text/html', 'text/plain']
    flask.config['COMPRESS_MIN_SIZE'] = 0
    Compress(flask)

    @flask.route('/', defaults={'path': ''})
    @flask.route('/<path:path>')
    def view(path: str) -> Any:
        return source(request.environ) if path.startswith('clock') else 'Hello' * 100

    return flask


def django_app() -> Any:
    """Return the application in Django, with its GZipMiddleware."""
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import re_path

    def view(request: Any, path: str) -> Any:
        if not path.startswith('clock'):
            return HttpResponse('Hello' * 100)
        response = StreamingHttpResponse()

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            for name, value in headers:
                response[name] = value

        response.streaming_content = source(request.META).wsgi_response(start_response)
        return response

    settings.configure(SECRET_KEY='secret', ROOT_URLCONF=(re_path(r'^(.*)$', view),), ALLOWED_HOSTS=['*'],
                       MIDDLEWARE=['django.middleware.gzip.GZipMiddleware'])
    django.setup()
    return get_wsgi_application()
