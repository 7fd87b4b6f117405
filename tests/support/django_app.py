"""A Django project in one file, with all the middleware of ``startproject``.

``FAYE_TEST_DATABASE`` is the file of its database, which is created here. With
``FAYE_TEST_DEBUG`` it shows exceptions.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

settings.configure(
    DEBUG='FAYE_TEST_DEBUG' in os.environ,
    SECRET_KEY='secret' * 9,
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=['*'],
    DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': os.environ.get('FAYE_TEST_DATABASE', ':memory:')}},
    INSTALLED_APPS=['django.contrib.contenttypes', 'django.contrib.auth', 'django.contrib.sessions'],
    USE_TZ=True,
    MIDDLEWARE=[
        'django.middleware.gzip.GZipMiddleware',
        'django.middleware.http.ConditionalGetMiddleware',
        'django.middleware.security.SecurityMiddleware',
        'django.contrib.sessions.middleware.SessionMiddleware',
        'django.middleware.locale.LocaleMiddleware',
        'django.middleware.common.CommonMiddleware',
        'django.middleware.csrf.CsrfViewMiddleware',
        'django.contrib.auth.middleware.AuthenticationMiddleware',
        'django.middleware.clickjacking.XFrameOptionsMiddleware',
    ])
django.setup()

from django.contrib.auth import login  # noqa: E402
from django.contrib.auth.decorators import login_required  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.middleware.csrf import get_token  # noqa: E402
from django.urls import path  # noqa: E402
from gevent.event import Event  # noqa: E402

from faye_websocket import EventSource, SocketMiddleware, WebSocket  # noqa: E402
from faye_websocket.django import SocketResponse, close_connections  # noqa: E402


def index(request: Any) -> HttpResponse:
    """Return a CSRF token, in a cookie and as the body."""
    return HttpResponse(get_token(request))


def enter_as(request: Any, name: str) -> HttpResponse:
    """Log in, by POST, without a password."""
    user, _ = User.objects.get_or_create(username=name)
    login(request, user)
    return HttpResponse('welcome')


def room(request: Any, name: str, number: int) -> HttpResponse:
    """Count visits in the session, and echo with the room's name as a prefix."""
    request.session['visits'] = request.session.get('visits', 0) + 1
    ws = WebSocket(request.META, ['chat'])
    ws.send(f'{name} {number} {request.session["visits"]}')
    ws.onmessage = lambda event: ws.send(f'{name}: {event.data}')
    return SocketResponse(ws)


@login_required(login_url='/login')
def private(request: Any) -> HttpResponse:
    """Greet a user who is logged in."""
    ws = WebSocket(request.META)
    ws.send(f'hello, {request.user.username}')
    return SocketResponse(ws)


def asking(request: Any) -> HttpResponse:
    """Answer each message with the number of users, which the database has."""
    ws = WebSocket(request.META)
    ws.onmessage = close_connections(lambda event: ws.send(str(User.objects.count())))
    return SocketResponse(ws)


def databases(request: Any) -> HttpResponse:
    """Count the open files of the database."""
    files = [os.path.realpath(f'/proc/self/fd/{each}') for each in os.listdir('/proc/self/fd')]
    return HttpResponse(str(files.count(os.path.realpath(os.environ['FAYE_TEST_DATABASE']))))


def events(request: Any) -> HttpResponse:
    """Send one event."""
    es = EventSource(request.META)
    es.send('hello')
    es.close()
    return SocketResponse(es)


def fault(request: Any) -> HttpResponse:
    """Raise an exception after the response was made."""
    SocketResponse(WebSocket(request.META))
    raise RuntimeError('a fault')


held: list[Event] = []


async def hold(request: Any) -> HttpResponse:
    """Block the greenlet until it is released."""
    event = Event()
    held.append(event)
    event.wait()
    return HttpResponse('held')


def hold_by_hand(request: Any) -> HttpResponse:
    """Run ``hold`` in an event loop, as a library may do in a plain view."""
    return asyncio.run(hold(request))


def let_go(request: Any) -> HttpResponse:
    """Release a view that blocks, if there is one."""
    if not held:
        return HttpResponse(status=409)
    held.pop().set()
    return HttpResponse('let go')


def plain(request: Any) -> HttpResponse:
    """Echo, without the database.

    Django forbids using it while the thread has an event loop.
    """
    ws = WebSocket(request.META)
    ws.onmessage = lambda event: ws.send(event.data)
    return SocketResponse(ws)


def has_held(request: Any) -> HttpResponse:
    """Report whether a view blocks, and the thread has an event loop meanwhile."""
    return HttpResponse(status=200 if held and asyncio.current_task() else 409)


urlpatterns = [
    path('hold/async', hold),
    path('hold/by-hand', hold_by_hand),
    path('let-go', let_go),
    path('has-held', has_held),
    path('plain', plain),
    path('', index),
    path('login/<name>', enter_as),
    path('rooms/<name>/<int:number>', room),
    path('private', private),
    path('asking', asking),
    path('databases', databases),
    path('events', events),
    path('fault', fault),
]

call_command('migrate', verbosity=0)
app = get_wsgi_application()


def echo(ws: WebSocket) -> None:
    """Echo, as a handler of the middleware."""
    with ws:
        for message in ws:
            ws.send(message)


around = SocketMiddleware(app, {'/echo': echo}, protocols=['chat'])
