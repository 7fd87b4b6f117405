"""Pyramid, with a view that returns the response of a WSGI application.

Run it with: faye-websocket serve examples.pyramid_app:app

Under gunicorn: gunicorn -k gevent examples.pyramid_app:app
"""

from pyramid.config import Configurator
from pyramid.response import Response

from faye_websocket import WebSocket


def index(request):
    return Response('There is a WebSocket at /hello/NAME.\n')


def hello(request):
    ws = WebSocket(request.environ, ping=30)
    ws.send(f'Hello, {request.matchdict["name"]}.')
    ws.onmessage = lambda event: ws.send(event.data)
    return request.get_response(ws)


with Configurator() as config:
    config.add_route('index', '/')
    config.add_route('hello', '/hello/{name}')
    config.add_view(index, route_name='index')
    config.add_view(hello, route_name='hello')
    app = config.make_wsgi_app()
