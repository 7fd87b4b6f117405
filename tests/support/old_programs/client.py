"""simple-websocket: a client."""

import sys

import simple_websocket

url = sys.argv[1]
ws = simple_websocket.Client.connect(url + '/echo', headers={'X-A': 'b'}, receive_bytes=100)
ws.send('hello')
print(ws.receive(), ws.receive(timeout=0), ws.connected)
ws.close()
try:
    ws.send('more')
except simple_websocket.ConnectionClosed as error:
    print('closed', isinstance(error, RuntimeError), ws.connected)
ws = simple_websocket.Client(url + '/bp/echo', subprotocols=['a'])
ws.send('x')
print(ws.subprotocol, ws.receive())
try:
    while True:
        ws.receive()
except simple_websocket.ConnectionClosed as error:
    print('closed', int(error.reason))
try:
    simple_websocket.Client(url + '/refused')
except simple_websocket.ConnectionError as error:
    print('refused', error.status_code)
try:
    simple_websocket.Client('ws://127.0.0.1:1/')
except OSError as error:
    print('error', type(error).__name__)
