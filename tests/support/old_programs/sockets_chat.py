"""flask-sockets: a chat with an inbox and an outbox, a blueprint, and a page."""

import sys

import gevent
from flask import Blueprint, Flask, request, session
from flask_sockets import Sockets

app = Flask(__name__)
app.secret_key = 'a secret'
sockets = Sockets(app)
ws = Blueprint('ws', __name__)


class Chat:
    def __init__(self):
        self.clients = []

    def send(self, message):
        for client in list(self.clients):
            try:
                client.send(message)
            except Exception:
                self.clients.remove(client)


chat = Chat()


@app.route('/')
def page():
    session['user'] = 'ann'
    return 'a page'


@app.route('/submit')
def beside():
    return 'a page at the path of a socket'


@sockets.route('/submit')
def inbox(ws):
    while not ws.closed:
        gevent.sleep(0.001)
        message = ws.receive()
        if message:
            chat.send(message)


@sockets.route('/receive', endpoint='receive', methods=['GET'])
def outbox(ws):
    chat.clients.append(ws)
    ws.send('ready')
    while not ws.closed:
        gevent.sleep(0.01)


@sockets.route('/room/<int:number>')
def room(ws, number):
    ws.send(f'{number + 1} {session.get("user")} {request.args.get("a")}')


@ws.route('/echo')
def echo(socket):
    while not socket.closed:
        message = socket.receive()
        socket.send(message)


sockets.register_blueprint(ws, url_prefix='/')

if __name__ == '__main__':
    from gevent import pywsgi
    from geventwebsocket.handler import WebSocketHandler
    server = pywsgi.WSGIServer(('127.0.0.1', 0), app, handler_class=WebSocketHandler)
    server.start()
    print('Listening at http://127.0.0.1:%d' % server.server_port, file=sys.stderr, flush=True)
    server.serve_forever()
