"""A program for Ruby's faye-websocket, ported: the first example of its README.

Run it with: faye-websocket serve examples.ported_from_ruby:App

Under gunicorn: gunicorn -k gevent examples.ported_from_ruby:App

Line by line, from Ruby to Python:

    require 'faye/websocket'
    -> from faye_websocket import WebSocket
    App = lambda do |env|
    -> def App(environ, start_response):
    if Faye::WebSocket.websocket?(env)
    -> if WebSocket.is_websocket(environ):
    ws = Faye::WebSocket.new(env)
    -> ws = WebSocket(environ)
    ws.onmessage = lambda do |event| ... end
    -> def onmessage(event): ... and ws.onmessage = onmessage
    ws.send(event.data)
    -> ws.send(event.data)
    ws.onclose = lambda do |event| ... end
    -> def onclose(event): ... and ws.onclose = onclose
    p [:close, event.code, event.reason]
    -> print(['close', event.code, event.reason])
    ws = nil
    -> nonlocal ws, and ws = None
    ws.rack_response
    -> return ws.wsgi_response(start_response)
    [200, {'Content-Type' => 'text/plain'}, ['Hello']]
    -> start_response('200 OK', [('Content-Type', 'text/plain')]), and [b'Hello']
    Faye::WebSocket.load_adapter('thin')
    -> WebSocket.load_adapter('gevent'), which is not needed
    run App
    -> the command above
"""

from faye_websocket import WebSocket

WebSocket.load_adapter('gevent')


def App(environ, start_response):  # noqa: N802 - its name in Ruby
    if WebSocket.is_websocket(environ):
        ws = WebSocket(environ)

        def onmessage(event):
            ws.send(event.data)

        def onclose(event):
            nonlocal ws
            print(['close', event.code, event.reason], flush=True)
            ws = None

        ws.onmessage = onmessage
        ws.onclose = onclose

        # Make the handshake, and return the response.
        return ws.wsgi_response(start_response)

    # A plain HTTP request.
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'Hello']
