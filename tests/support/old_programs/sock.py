"""flask-sock: an echo, URL arguments, a blueprint, time limits, a session, options."""

import sys

from gevent import monkey

monkey.patch_all()

from flask import Blueprint, Flask, abort, g, request, session  # noqa: E402
from flask_sock import ConnectionClosed, Sock  # noqa: E402
from simple_websocket import Server  # noqa: E402

app = Flask(__name__)
app.secret_key = 'a secret'
app.config['SOCK_SERVER_OPTIONS'] = {'ping_interval': 25, 'subprotocols': ['b', 'a'],
                                     'max_message_size': 1000}
sock = Sock(app)
bp = Blueprint('sockets', __name__, url_prefix='/bp')


@app.before_request
def before():
    g.user = request.args.get('user')
    if request.path == '/refused':
        abort(403)


@app.teardown_request
def teardown(error):
    print('teardown', request.path, error, flush=True)


@app.route('/')
def page():
    session['user'] = 'ann'
    return 'a page'


@sock.route('/echo')
def echo(ws):
    while True:
        ws.send(ws.receive())


@sock.route('/refused')
def refused(ws):
    ws.send('never')


@sock.route('/room/<name>/<int:number>')
def room(ws, name, number):
    ws.send(f'{name} {number + 1}')


@sock.route('/echo', bp=bp)
def bp_echo(ws):
    ws.send(f'bp {ws.receive()}')


@sock.route('/poll')
def poll(ws):
    ws.send([ws.receive(timeout=0), ws.receive(timeout=0.01)])
    ws.send(None)
    ws.send(5)
    ws.send({'a': 1})
    ws.send(b'\0')


@sock.route('/tell')
def tell(ws):
    ws.send([session.get('user'), g.user, ws.subprotocol, ws.connected])


@sock.route('/close')
def close(ws):
    ws.close(4002, 'enough')
    for call in (ws.receive, lambda: ws.send('x'), ws.close):
        try:
            call()
        except ConnectionClosed as error:
            print('closed', error.reason == 1005, flush=True)


@sock.route('/end')
def end(ws):
    seen = []
    ws.send('ready')
    try:
        while True:
            seen.append(ws.receive())
    except ConnectionClosed as error:
        print('end', seen, int(error.reason), error.message, str(error), flush=True)
        raise


@sock.route('/fail')
def fail(ws):
    raise ValueError('a fault of the program')


@app.route('/plain', websocket=True)
def plain():
    ws = Server.accept(request.environ, subprotocols='a')
    try:
        while True:
            ws.send(f'{ws.subprotocol} {ws.receive()}')
    except ConnectionClosed:
        pass
    return ''


app.register_blueprint(bp)

if __name__ == '__main__':
    from gevent.pywsgi import WSGIServer
    server = WSGIServer(('127.0.0.1', 0), app)
    server.start()
    print('Listening at http://127.0.0.1:%d' % server.server_port, file=sys.stderr, flush=True)
    server.serve_forever()
