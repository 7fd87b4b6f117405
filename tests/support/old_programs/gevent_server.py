"""gevent-websocket: its own server around a plain application, by the package's name.
"""

import sys

import geventwebsocket
from geventwebsocket.server import WebSocketServer


def app(environ, start_response):
    ws = environ.get('wsgi.websocket')
    if ws is None:
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return [geventwebsocket.get_version().encode()]
    try:
        while True:
            ws.send(ws.receive())
    except geventwebsocket.WebSocketError as error:
        print(type(error).__name__, error, flush=True)


if __name__ == '__main__':
    server = WebSocketServer(('127.0.0.1', 0), app, debug=False)
    server.start()
    print('Listening at http://127.0.0.1:%d' % server.server_port, file=sys.stderr, flush=True)
    server.serve_forever()
