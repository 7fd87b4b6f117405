"""Bottle, with the middleware around it. Run it with: faye-websocket serve examples.bottle_app:app

Under gunicorn: gunicorn -k gevent examples.bottle_app:app
"""

from bottle import Bottle

from faye_websocket import SocketMiddleware

site = Bottle()


@site.get('/')
def index():
    return 'There is a WebSocket at /echo.\n'


def echo(ws):
    # A handler may stay, and receive for itself; "with" closes the socket when it is done.
    with ws:
        for message in ws:
            ws.send(message)


app = SocketMiddleware(site, {'/echo': echo}, ping=30)
