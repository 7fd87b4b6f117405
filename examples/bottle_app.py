"""Bottle, wrapped in the middleware.

Run it with: faye-websocket serve examples.bottle_app:app

Under gunicorn: gunicorn -k gevent examples.bottle_app:app
"""

from bottle import Bottle

from faye_websocket import SocketMiddleware

site = Bottle()


@site.get('/')
def index():
    return 'There is a WebSocket at /echo.\n'


def echo(ws):
    # A handler may block and receive messages in a loop. "with" closes the socket at
    # its end.
    with ws:
        for message in ws:
            ws.send(message)


app = SocketMiddleware(site, {'/echo': echo}, ping=30)
