"""Django in one file, with a session.

Run it with: faye-websocket serve examples.django_app:app

Under gunicorn: gunicorn -k gevent examples.django_app:app
"""

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

from faye_websocket import WebSocket
from faye_websocket.django import SocketResponse

settings.configure(
    SECRET_KEY='not a secret, and long enough for Django to be content with it',
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=['localhost', '127.0.0.1'],
    SESSION_ENGINE='django.contrib.sessions.backends.signed_cookies',
    MIDDLEWARE=[
        'django.middleware.security.SecurityMiddleware',
        'django.contrib.sessions.middleware.SessionMiddleware',
        'django.middleware.common.CommonMiddleware',
        'django.middleware.csrf.CsrfViewMiddleware',
    ],
)
django.setup()


def index(request):
    return HttpResponse('There are WebSockets at /hello/NAME.\n')


def hello(request, name):
    request.session['visits'] = request.session.get('visits', 0) + 1
    # Without this, a page of another site could open the socket with its visitor's
    # session: Django's protection against CSRF does not cover WebSockets.
    ws = WebSocket(request.META, ping=30, allowed_origins='same-origin')
    ws.send(f'Hello, {name}. Visit {request.session["visits"]}.')
    ws.onmessage = lambda event: ws.send(event.data)
    return SocketResponse(ws)


urlpatterns = [path('', index), path('hello/<name>', hello)]
app = get_wsgi_application()
