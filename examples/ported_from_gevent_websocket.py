"""A program for gevent-websocket, ported: its usual echo server.

Run it with: faye-websocket serve examples.ported_from_gevent_websocket:app

Under gunicorn: gunicorn -k gevent examples.ported_from_gevent_websocket:app

The program is a WSGI application that takes its socket from environ. These lines have
changed, and each is marked with its number below:

    1  from geventwebsocket.handler import WebSocketHandler
    -> from faye_websocket import WebSocket
    2  if 'wsgi.websocket' in environ:
    -> if WebSocket.is_websocket(environ):
    3  ws = environ['wsgi.websocket']
    -> with WebSocket(environ) as ws:
    4  return []
    -> return ws(environ, start_response)
    5  WSGIServer(('', 9292), app, handler_class=WebSocketHandler)
    -> WSGIServer(('', 9292), app)

Under gunicorn, -k geventwebsocket.gunicorn.workers.GeventWebSocketWorker becomes -k
gevent. As before, receive() returns None at the end, and send() accepts str and bytes.
Once the socket is closed, send() now returns False, and does not raise WebSocketError.
"""

from gevent.pywsgi import WSGIServer

from faye_websocket import WebSocket  # 1


def app(environ, start_response):
    if WebSocket.is_websocket(environ):  # 2
        with WebSocket(environ) as ws:  # 3
            while True:
                message = ws.receive()
                if message is None:
                    break
                ws.send(message)
        return ws(environ, start_response)  # 4
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'There is a WebSocket anywhere.\n']


if __name__ == '__main__':
    WSGIServer(('', 9292), app).serve_forever()  # 5
