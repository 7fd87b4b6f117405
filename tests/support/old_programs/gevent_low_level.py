"""gevent-websocket: sockets in environ, as a WSGI application takes them."""

import socket
import sys

import gevent
from gevent import pywsgi
from geventwebsocket.exceptions import WebSocketError
from geventwebsocket.handler import WebSocketHandler
from geventwebsocket.websocket import WebSocket

waiting = []


def echo(ws: WebSocket):
    while not ws.closed:
        message = ws.receive()
        ws.send(message)


def collect(ws):
    ws.send('ready')
    gevent.sleep(0.3)
    seen = []
    while not ws.closed:
        seen.append(ws.receive())
    print('collected', seen, flush=True)


def in_place(ws):
    message = ws.receive()
    message[0] = 0xff
    ws.send(message)
    ws.send(b'text', False)


def tell(ws):
    facts = [ws.path, ws.origin, ws.protocol, ws.version, isinstance(ws, WebSocket), ws.closed,
             len(ws.handler.server.clients), ws.handler.active_client.ws is ws]
    ws.send(repr(facts))


def frames(ws):
    ws.send_frame('text', WebSocket.OPCODE_TEXT)
    ws.send_frame(b'binary', ws.OPCODE_BINARY)
    ws.send_frame('ping', ws.OPCODE_PING)
    ws.close(4001)
    try:
        ws.send(None)
    except socket.error as error:  # noqa: UP024
        print('error', isinstance(error, WebSocketError), flush=True)
    try:
        ws.receive()
    except WebSocketError:
        print('receive', ws.closed, flush=True)


def outbox(ws):
    ws.send('ready')
    try:
        while True:
            ws.send('tick')
            gevent.sleep(0.05)
    except WebSocketError:
        print('outbox over', flush=True)


def wait(ws):
    waiting.append(ws)
    ws.send('waits')
    print('received', ws.receive(), flush=True)


def end_waiting(ws):
    waiting.pop().close()
    ws.send('closed it')


def download(ws):
    for _ in range(40):
        ws.send(bytearray(2**20))
    ws.send('end')


def fail(ws):
    raise ValueError('a fault of the program')


ROUTES = {'/echo': echo, '/collect': collect, '/in-place': in_place, '/tell': tell,
          '/frames': frames, '/outbox': outbox, '/wait': wait, '/end-waiting': end_waiting,
          '/download': download, '/fail': fail}


def generator(ws):
    yield b'never seen'
    ws.send('from a generator')
    yield b'neither'


def application(environ, start_response):
    path = environ['PATH_INFO']
    ws = environ.get('wsgi.websocket')
    if ws is None:
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return [b'a page']
    if path == '/generator':
        return generator(ws)
    ROUTES[path](ws)
    if path == '/tell':
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return [b'never seen']
    return []


def app(environ, start_response):
    """Copy environ and add a header, as middleware does."""
    def start(status, headers, exc_info=None):
        return start_response(status, [*headers, ('X-Seen', 'yes')], exc_info)
    return application(dict(environ), start)


class Handler(WebSocketHandler):
    def get_environ(self):
        environ = super().get_environ()
        environ['example.handler'] = self
        return environ

    def log_request(self):
        if '101' not in str(self.status):
            print('request', self.path, flush=True)


if __name__ == '__main__':
    server = pywsgi.WSGIServer(('127.0.0.1', 0), app, handler_class=Handler)
    server.start()
    print('Listening at http://127.0.0.1:%d' % server.server_port, file=sys.stderr, flush=True)
    server.serve_forever()
