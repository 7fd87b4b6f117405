"""gevent-websocket: a chat of application objects, with names, a history and a page."""

import json
import sys
from collections import OrderedDict

from geventwebsocket import Resource, WebSocketApplication, WebSocketServer


class ChatApplication(WebSocketApplication):
    history: list = []

    def on_open(self):
        print('open', flush=True)

    def on_message(self, message):
        if message is None:
            print('none', self.ws.closed, flush=True)
            return
        command = json.loads(message)
        client = self.ws.handler.active_client
        if command['type'] == 'join':
            client.nickname = command['nickname']
            self.broadcast({'type': 'users', 'users': sorted(self.nicknames())})
        else:
            self.history.append(command['text'])
            self.broadcast({'type': 'text', 'from': client.nickname, 'text': command['text'],
                            'count': len(self.history)})

    def nicknames(self):
        return [client.nickname for client in self.ws.handler.server.clients.values()
                if hasattr(client, 'nickname')]

    def broadcast(self, message):
        for client in self.ws.handler.server.clients.values():
            client.ws.send(json.dumps(message))

    def on_close(self, reason):
        print('close', reason, self.ws.handler.active_client.nickname, flush=True)


def page(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/html')])
    return [b'<h1>Chat</h1>']


app = Resource(OrderedDict([('^/chat', ChatApplication), ('^/', page)]))

if __name__ == '__main__':
    server = WebSocketServer(('127.0.0.1', 0), app, debug=True)
    server.start()
    print('Listening at http://127.0.0.1:%d' % server.server_port, file=sys.stderr, flush=True)
    server.serve_forever()
