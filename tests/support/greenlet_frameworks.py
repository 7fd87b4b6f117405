"""The views of ``greenlet_app`` in Flask and in Django."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import re_path
from flask import Flask, request

from faye_websocket import WebSocket
from tests.support.greenlet_app import converse

flask = Flask(__name__)


@flask.get('/', defaults={'path': ''})
@flask.get('/<path:path>')
def page(path: str) -> str:
    """Respond to plain HTTP."""
    return 'Hello'


@flask.get('/<path:path>', websocket=True)
def flask_view(path: str) -> Any:
    """Return the socket, or another response."""
    ws = converse(request.environ)
    return 'Hello' if '/answer' in request.path else ws


def django_view(request: Any) -> HttpResponse:
    """Return the response of the socket, or another response."""
    if not WebSocket.is_websocket(request.META):
        return HttpResponse('Hello')
    from faye_websocket.django import SocketResponse

    ws = converse(request.META)
    return HttpResponse('Hello') if '/answer' in request.path else SocketResponse(ws)


settings.configure(
    SECRET_KEY='secret' * 9, ROOT_URLCONF=__name__, ALLOWED_HOSTS=['*'],
    LOGGING={'version': 1, 'disable_existing_loggers': False,
             'handlers': {'stderr': {'class': 'logging.StreamHandler'}},
             'loggers': {'django.request': {'handlers': ['stderr'], 'level': 'ERROR', 'propagate': False}}})
urlpatterns = [re_path('', django_view)]
django.setup()
django_app = get_wsgi_application()
