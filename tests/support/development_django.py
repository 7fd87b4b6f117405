"""The application for the development servers in Django, with its ``manage.py``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from tests.support import development_app as app  # isort: skip

from django.conf import settings

settings.configure(
    DEBUG=True, SECRET_KEY='secret' * 9, ROOT_URLCONF=__name__, ALLOWED_HOSTS=['*'],
    WSGI_APPLICATION=f'{__name__}.application')

from django.core.management import execute_from_command_line  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402

from faye_websocket import SocketMiddleware, WebSocket  # noqa: E402
from faye_websocket.django import SocketResponse  # noqa: E402


def view(request: Any, path: str) -> HttpResponse:
    """Answer."""
    answer = app.serve(f'/{path}', request.META)
    return SocketResponse(answer) if isinstance(answer, WebSocket) else HttpResponse(answer)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Serve, and leave event sources to the application without Django."""
    return (app.plain if environ['PATH_INFO'] == '/events' else around)(environ, start_response)


urlpatterns = [path('<path:path>', view), path('', view, {'path': ''})]
around = SocketMiddleware(get_wsgi_application(), {'/handled': app.handle})

if __name__ == '__main__':
    execute_from_command_line(sys.argv)
